// The way in: an account or a new one.

import { fill, h, say } from "./dom";
import { signIn, signUp } from "./session";

export function signInView(): HTMLElement {
  let creating = false;
  const title = h("h1", {});
  const email = h("input", { id: "email", type: "email", name: "email", autocomplete: "username", required: true });
  const password = h("input", { id: "password", type: "password", name: "password", required: true });
  const hint = h("p", { class: "hint", id: "password-hint" }, "At least 6 characters.");
  const problem = h("p", { class: "problem", role: "alert" });
  const news = h("p", { class: "news", role: "status" });
  const submit = h("button", { type: "submit", class: "primary" });
  const other = h("button", {
    type: "button",
    class: "link",
    onclick: () => {
      show(!creating);
      email.focus();
    },
  });
  const question = h("p", { class: "aside" });

  function show(create: boolean): void {
    creating = create;
    say(title, create ? "Create your account" : "Welcome back");
    say(submit, create ? "Create account" : "Sign in");
    say(other, create ? "Sign in" : "Create an account");
    fill(question, create ? "Have an account? " : "New here? ", other);
    say(problem, "");
    say(news, "");
    hint.hidden = !create;
    password.autocomplete = create ? "new-password" : "current-password";
    password.minLength = create ? 6 : 0;
    if (create) password.setAttribute("aria-describedby", hint.id);
    else password.removeAttribute("aria-describedby");
  }

  async function enter(): Promise<void> {
    say(problem, "");
    say(news, "");
    submit.disabled = true;
    if (creating) {
      const { error, confirm } = await signUp(email.value, password.value);
      say(problem, error ?? "");
      if (confirm) say(news, `Open the link that was sent to ${email.value}, then sign in.`);
    } else say(problem, (await signIn(email.value, password.value)) ?? "");
    submit.disabled = false;
  }

  const form = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        void enter();
      },
    },
    h("label", { for: "email" }, "Email"),
    email,
    h("label", { for: "password" }, "Password"),
    password,
    hint,
    problem,
    news,
    submit,
  );
  show(false);
  return h("section", { class: "card sign-in" }, title, form, question);
}

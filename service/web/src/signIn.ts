// The form to sign in or to create an account.

import { h, replaceChildren, setText } from "./elements";
import { signIn, signUp } from "./session";

export function signInForm(): HTMLElement {
  let creating = false;
  const title = h("h1", {});
  const email = h("input", { id: "email", type: "email", name: "email", autocomplete: "username", required: true });
  const password = h("input", { id: "password", type: "password", name: "password", required: true });
  const hint = h("p", { class: "hint", id: "password-hint" }, "At least 6 characters.");
  const problem = h("p", { class: "problem", role: "alert" });
  const confirmation = h("p", { class: "confirmation", role: "status" });
  const submitButton = h("button", { type: "submit", class: "primary" });
  const switchButton = h("button", {
    type: "button",
    class: "link",
    onclick: () => {
      setMode(!creating);
      email.focus();
    },
  });
  const footer = h("p", { class: "footer" });

  function setMode(create: boolean): void {
    creating = create;
    setText(title, create ? "Create your account" : "Welcome back");
    setText(submitButton, create ? "Create account" : "Sign in");
    setText(switchButton, create ? "Sign in" : "Create an account");
    replaceChildren(footer, create ? "Have an account? " : "New here? ", switchButton);
    setText(problem, "");
    setText(confirmation, "");
    hint.hidden = !create;
    password.autocomplete = create ? "new-password" : "current-password";
    password.minLength = create ? 6 : 0;
    if (create) password.setAttribute("aria-describedby", hint.id);
    else password.removeAttribute("aria-describedby");
  }

  async function submit(): Promise<void> {
    setText(problem, "");
    setText(confirmation, "");
    submitButton.disabled = true;
    if (creating) {
      const { error, confirm } = await signUp(email.value, password.value);
      setText(problem, error ?? "");
      if (confirm) setText(confirmation, `Open the link that was sent to ${email.value}, then sign in.`);
    } else setText(problem, (await signIn(email.value, password.value)) ?? "");
    submitButton.disabled = false;
  }

  const onsubmit = (event: Event) => {
    event.preventDefault();
    void submit();
  };
  const form = h(
    "form",
    { onsubmit },
    h("label", { for: "email" }, "Email"),
    email,
    h("label", { for: "password" }, "Password"),
    password,
    hint,
    problem,
    confirmation,
    submitButton,
  );
  setMode(false);
  return h("section", { class: "card sign-in" }, title, form, footer);
}

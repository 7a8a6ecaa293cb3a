// How fast an upload is, over the last seconds: an average over all of it would lie after a pause.

const SPAN = 6000;

export class Speed {
  #samples: { at: number; bytes: number }[] = [];

  note(bytes: number): void {
    const at = performance.now();
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at, bytes });
    this.#samples = this.#samples.filter((sample) => at - sample.at <= SPAN);
  }

  reset(): void {
    this.#samples = [];
  }

  /** Bytes a second; undefined while it is too early to say. */
  get perSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at - first.at < 700) return undefined;
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
  }
}

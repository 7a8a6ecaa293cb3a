// The rate of an upload over the last seconds. An average over the whole upload would be wrong after a pause.

const WINDOW_MS = 6000;
const MIN_SPAN_MS = 700;

export class TransferRate {
  #samples: { at: number; bytes: number }[] = [];

  add(bytes: number): void {
    const at = performance.now();
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at, bytes });
    this.#samples = this.#samples.filter((sample) => at - sample.at <= WINDOW_MS);
  }

  reset(): void {
    this.#samples = [];
  }

  /** Undefined until there are enough samples. */
  get bytesPerSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at - first.at < MIN_SPAN_MS) return undefined;
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
  }
}

/**
 * TraceHash: tells two traces apart: FNV-1a over the text of all lines, twice with other bases.
 */

const PRIME = 0x0100_0193;

export class TraceHash {
  #low = 0x811c_9dc5;
  #high = 0x9e37_79b9;

  add(line: string): void {
    let low = this.#low;
    let high = this.#high;
    for (let index = 0; index < line.length; index++) {
      const code = line.charCodeAt(index);
      low = Math.imul(low ^ code, PRIME);
      high = Math.imul(high ^ (code + index), PRIME);
    }
    this.#low = low ^ 10;
    this.#high = high ^ (high >>> 15);
  }

  /** Sixteen hexadecimal digits. */
  get text(): string {
    return hex(this.#high) + hex(this.#low);
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}

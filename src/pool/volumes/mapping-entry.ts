/** What entries of mapping trees say, read from the words of a page. Pure. */

import type { Address } from "../pool-layout.ts";
import { MappingWord } from "./volume-state.ts";

const UINT16_MASK = 0xffff;
const UINT32_RANGE = 2 ** 32;

/** Where the block of the entry lies. Hot path. */
export function addressOfEntry(words: Uint32Array, at: number): Address {
  const high = (words[at + MappingWord.addressHigh] as number) & UINT16_MASK;
  return (words[at + MappingWord.addressLow] as number) + high * UINT32_RANGE;
}

/**
 * "Did you mean": the known name that is nearest to one that is not known.
 *
 * Pure, and bounded: names longer than NAME_LENGTH_MAX are near to nothing.
 */

import { NAME_LENGTH_MAX } from "./limits.ts";

/**
 * The candidate with the fewest single-character edits from `name`, the first among equals; or
 * undefined when even that takes more than a third of the characters.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let nearest: string | undefined;
  let fewestEdits = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const longest = Math.max(name.length, candidate.length);
    if (longest > NAME_LENGTH_MAX) {
      continue;
    }
    const edits = countEdits(name, candidate);
    if (edits < fewestEdits && edits <= Math.max(1, Math.floor(longest / 3)) && edits < longest) {
      nearest = candidate;
      fewestEdits = edits;
    }
  }
  return nearest;
}

/** ` (did you mean "x"?)` for the end of a message, or nothing. */
export function suggestName(name: string, candidates: Iterable<string>): string {
  const nearest = nearestName(name, candidates);
  return nearest === undefined ? "" : ` (did you mean "${nearest}"?)`;
}

/** Insertions, removals, replacements and swaps of neighbours, each part edited once. */
function countEdits(from: string, to: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const isSame = from.charAt(row - 1) === to.charAt(column - 1);
      let edits = Math.min(
        cell(last, column) + 1,
        cell(current, column - 1) + 1,
        cell(last, column - 1) + (isSame ? 0 : 1),
      );
      if (isSwap(from, to, row, column)) {
        edits = Math.min(edits, cell(beforeLast, column - 2) + 1);
      }
      current.push(edits);
    }
    beforeLast = last;
    last = current;
  }
  return cell(last, to.length);
}

function isSwap(from: string, to: string, row: number, column: number): boolean {
  return (
    row > 1 &&
    column > 1 &&
    from.charAt(row - 1) === to.charAt(column - 2) &&
    from.charAt(row - 2) === to.charAt(column - 1)
  );
}

function cell(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}

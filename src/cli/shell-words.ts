/**
 * The words of a command line up to the cursor, as a POSIX shell would cut it. Pure.
 */

export interface ShellWords {
  /** The last one is what the cursor is at, perhaps empty. */
  readonly words: readonly string[];
  /** How much of the last word bash holds for earlier words, since ":" and "=" end them there. */
  readonly cutLength: number;
}

/** @param line up to the cursor; a quote may be open. The last command of several counts. */
export function splitShellLine(line: string): ShellWords {
  let words: string[] = [];
  let word = "";
  let isOpen = false;
  let quote = "";
  let cutLength = 0;
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    if (quote !== "") {
      if (character === quote) quote = "";
      else if (character === "\\" && quote === '"') word += line.charAt(++at);
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      isOpen = true;
      cutLength = word.length;
    } else if (character === "\\") {
      word += line.charAt(++at);
      isOpen = true;
    } else if (/\s/.test(character)) {
      if (isOpen) words.push(word);
      [word, isOpen, cutLength] = ["", false, 0];
    } else if (/[|;&]/.test(character)) {
      // Another command begins.
      [words, word, isOpen, cutLength] = [[], "", false, 0];
    } else {
      word += character;
      isOpen = true;
      if (character === ":" || character === "=") cutLength = word.length;
    }
  }
  return { words: [...words, word], cutLength };
}

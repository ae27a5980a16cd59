/**
 * A TypeScript file as the tidy and layer rules want to see it: comments and string contents
 * blanked out but every character still in its place, so that a rule is a regular expression and
 * a hit has the right line.
 *
 * A small scanner and no parser. It tells a regular expression from a division by the token
 * before it, which is right for formatted code. Immutable once made.
 */

import { stripTypeScriptTypes } from "node:module";

export interface Comment {
  readonly offset: number;
  readonly text: string;
}

export interface ImportSpecifier {
  readonly offset: number;
  readonly specifier: string;
}

/** After one of these a slash begins a regular expression and not a division. */
const BEFORE_REGEXP =
  /(?:^|[=(,;:!&|?{}[+\-*%<>~^]|\b(?:return|typeof|case|in|of|void|delete|await))\s*$/;

/** Also `export ... from "..."`, `import("...")` and the entry of a worker, `new URL("...")`. */
const IMPORT =
  /\b(?:from|import|(?:import|getBuiltinModule|require|new\s+URL)\s*\()\s*(["'])(.*?)\1/g;

export class SourceText {
  /** With slashes, relative to the root of the tree. */
  readonly path: string;
  readonly text: string;
  /** Comments and the contents of strings, templates and regular expressions are blanks. */
  readonly code: string;
  /** Only comments are blanks. */
  readonly codeWithStrings: string;
  readonly comments: readonly Comment[];

  constructor(path: string, text: string) {
    const scan = new Scanner(text).scan();
    this.path = path;
    this.text = text;
    this.code = scan.code;
    this.codeWithStrings = scan.codeWithStrings;
    this.comments = scan.comments;
  }

  get isTest(): boolean {
    return this.path.endsWith(".test.ts");
  }

  /** Without the line end that closes the file. */
  get lines(): readonly string[] {
    return this.text.replace(/\n$/, "").split("\n");
  }

  /** Line number, from 1, of an offset in any of the texts. */
  lineAt(offset: number): number {
    let line = 1;
    for (let at = this.text.indexOf("\n"); at !== -1 && at < offset; line += 1) {
      at = this.text.indexOf("\n", at + 1);
    }
    return line;
  }

  get imports(): readonly ImportSpecifier[] {
    const found: ImportSpecifier[] = [];
    for (const match of this.codeWithStrings.matchAll(IMPORT)) {
      // A hit inside a longer string is text about an import and not one: its keyword is blank.
      if (this.code.startsWith(match[0].slice(0, 2), match.index)) {
        found.push({ offset: match.index, specifier: match[2] ?? "" });
      }
    }
    return found;
  }

  /**
   * The code with types blanked as well, or the reason why that is impossible: the file holds
   * syntax that is not erasable (enum, namespace, parameter property) or no TypeScript at all.
   */
  withoutTypes(): { readonly code: string } | { readonly error: string } {
    try {
      const stripped = stripTypeScriptTypes(this.text, { mode: "strip" });
      return { code: new Scanner(stripped).scan().code };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { error: message.replace(/\s+/g, " ").trim() };
    }
  }
}

/** One pass over a text; made for it and thrown away after. */
class Scanner {
  readonly #text: string;
  readonly #code: string[] = [];
  readonly #codeWithStrings: string[] = [];
  readonly #comments: Comment[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): { code: string; codeWithStrings: string; comments: Comment[] } {
    this.#scanCode(undefined);
    return {
      code: this.#code.join(""),
      codeWithStrings: this.#codeWithStrings.join(""),
      comments: this.#comments,
    };
  }

  /** Scans to the end of the text, or past the brace that closes a template's `${`. */
  #scanCode(closing: "}" | undefined): void {
    let depth = 0;
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at];
      const pair = this.#text.slice(this.#at, this.#at + 2);
      if (closing !== undefined && char === closing && depth === 0) {
        this.#keep(1);
        return;
      }
      if (pair === "//") {
        this.#comment(this.#endOf("\n", 0));
      } else if (pair === "/*") {
        this.#comment(this.#endOf("*/", 2));
      } else if (char === '"' || char === "'") {
        this.#quoted(char);
      } else if (char === "`") {
        this.#template();
      } else if (char === "/" && this.#isRegExpHere()) {
        this.#regExp();
      } else {
        depth += char === "{" ? 1 : char === "}" ? -1 : 0;
        this.#keep(1);
      }
    }
  }

  #endOf(mark: string, length: number): number {
    const end = this.#text.indexOf(mark, this.#at + length);
    return end === -1 ? this.#text.length : end + length;
  }

  #comment(end: number): void {
    const text = this.#text.slice(this.#at, end);
    this.#comments.push({ offset: this.#at, text });
    this.#code.push(blank(text));
    this.#codeWithStrings.push(blank(text));
    this.#at = end;
  }

  #quoted(quote: string): void {
    this.#keep(1);
    while (this.#at < this.#text.length && this.#text[this.#at] !== "\n") {
      if (this.#text[this.#at] === quote) {
        this.#keep(1);
        return;
      }
      this.#hide(this.#text[this.#at] === "\\" ? 2 : 1);
    }
  }

  #template(): void {
    this.#keep(1);
    while (this.#at < this.#text.length) {
      if (this.#text[this.#at] === "`") {
        this.#keep(1);
        return;
      }
      if (this.#text.startsWith("${", this.#at)) {
        this.#keep(2);
        this.#scanCode("}");
      } else {
        this.#hide(this.#text[this.#at] === "\\" ? 2 : 1);
      }
    }
  }

  #isRegExpHere(): boolean {
    // Enough to hold the token before, and short enough to keep the scan linear.
    return BEFORE_REGEXP.test(this.#code.slice(-40).join("").slice(-40));
  }

  #regExp(): void {
    this.#keep(1);
    let inClass = false;
    while (this.#at < this.#text.length && this.#text[this.#at] !== "\n") {
      const char = this.#text[this.#at];
      if (char === "/" && !inClass) {
        this.#keep(1);
        return;
      }
      inClass = char === "[" || (inClass && char !== "]");
      this.#hide(char === "\\" ? 2 : 1);
    }
  }

  #keep(length: number): void {
    const text = this.#text.slice(this.#at, this.#at + length);
    this.#code.push(text);
    this.#codeWithStrings.push(text);
    this.#at += length;
  }

  #hide(length: number): void {
    const text = this.#text.slice(this.#at, this.#at + length);
    this.#code.push(blank(text));
    this.#codeWithStrings.push(text);
    this.#at += length;
  }
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

// Tests of every error that parsePipe gives: tables of bad texts with the code, the position and
// the words of their errors.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { parsePipe } from "./grammar.ts";
import { GrammarError } from "./grammar-error.ts";

function grammarErrorOf(text: string): GrammarError {
  try {
    parsePipe(text);
  } catch (thrown) {
    ok(thrown instanceof GrammarError, `${String(thrown)} is a GrammarError`);
    return thrown;
  }
  throw new Error(`parsed without an error: ${JSON.stringify(text.slice(0, 80))}`);
}

/** Text, code, offset of the caret, and what the message must contain. */
type BadCase = readonly [text: string, code: string, offset: number, words: RegExp];

const BAD_STAGES: readonly BadCase[] = [
  ["", "empty-stage", 0, /found the end, expected a source: scheme:/],
  [" \n\t", "empty-stage", 0, /found the end, expected a source/],
  ["|", "empty-stage", 0, /found "\|", expected a source/],
  ["| nbd://h/x", "empty-stage", 0, /found "\|", expected a source/],
  ["/a || nbd://h/x", "empty-stage", 4, /found "\|", expected a stage after "\|"/],
  ["/a |  | nbd://h/x", "empty-stage", 6, /found "\|", expected a stage after "\|"/],
  ["/a |", "missing-share", 4, /found the end after "\|", expected a share/],
  ["/a | limit | \n", "missing-share", 12, /found the end after "\|", expected a share/],
  ["mirror()", "empty-stage", 7, /found "\)", expected a pipe as argument of "mirror"/],
  ["mirror(,/b)", "empty-stage", 7, /found ",", expected a pipe as argument/],
  ["mirror(/a,,/b)", "empty-stage", 10, /found ",", expected a pipe as argument/],
  ["mirror(/a, )", "empty-stage", 11, /found "\)", expected a pipe as argument/],
  ["mirror(/a | )", "empty-stage", 12, /found "\)", expected a stage after "\|"/],
  ["mirror(; meta=none)", "empty-stage", 7, /found ";", expected a pipe as argument/],
  ["(/a, /b)", "empty-stage", 0, /found "\(", expected a source/],
  ["?x=1", "empty-stage", 0, /found "\?"/],
  ["#a", "empty-stage", 0, /found "#"/],
  ["disk.img", "bad-name", 4, /found "disk.img", expected .* \(write \.\/ before a file/],
  ["Mirror(/a)", "bad-name", 0, /found "Mirror", expected .* in lower case/],
  ["/a | limit=5", "bad-name", 10, /found "limit=5", .*options follow a name and "\?"/],
  ["/a | -x", "bad-name", 5, /found "-x"/],
  ["/a | é", "bad-name", 5, /found "é"/],
  ["~/disk.img", "bad-path", 0, /found "~", which only a shell expands/],
  ["file:/x", "bad-scheme", 5, /found no "\/\/" after "file:"/],
  ["file:x", "bad-scheme", 5, /found no "\/\/" after "file:"/],
  ["localhost:10809/a", "bad-scheme", 10, /found no "\/\/" after "localhost:"/],
  ["://x", "bad-scheme", 0, /found nothing before ":\/\/"/],
  ["/a | 9p://x", "bad-scheme", 5, /found "9p", expected a scheme/],
  ["n_b://x", "bad-scheme", 0, /found "n_b", expected a scheme/],
];

const BAD_DELIMITERS: readonly BadCase[] = [
  ["/a limit", "unexpected", 3, /found "limit", expected "\|" or the end \(write %20/],
  ["/a | limit iops=5", "unexpected", 11, /found "iops=5", .* \(options follow a name/],
  ["/my disk/a | nbd://h/x", "unexpected", 4, /found "disk\/a", .*%20/],
  ["/a, /b", "unexpected", 2, /found ",", expected "\|" or the end .*%2C/],
  ["/a; meta=none", "unexpected", 2, /found ";", .*%3B/],
  ["/a)", "unexpected", 2, /found "\)", .*no parenthesis is open/],
  ["mirror(/a))", "unexpected", 10, /found "\)", .*no parenthesis is open/],
  ["mirror(/a)(/b)", "unexpected", 10, /found "\("/],
  ["mirror(/a) /b", "unexpected", 11, /found "\/b"/],
  ["mirror(/a /b)", "unexpected", 10, /found "\/b", expected "\|", ",", ";" or "\)"/],
  ["mirror(/a; x=1, /b)", "unexpected", 14, /found ",", expected/],
  ["/a(1).img", "unexpected", 2, /found "\(", .*%28/],
  ["file:///a(1)", "unexpected", 9, /found "\(", .*%28/],
  ["limit&iops=5", "unexpected", 5, /found "&", .*"\?" stands before the first option/],
  ["limit?a=1?b=2", "unexpected", 9, /found "\?", .*"&" stands between options/],
  ["limit?a=1#gold", "unexpected", 9, /found "#", .*before "\?"/],
  ["limit#a#b", "unexpected", 7, /found "#", .*once/],
  ["mirror(/a, /b", "unclosed-parenthesis", 6, /found the end, expected "\)" .* "mirror"/],
  ["/x | mirror(/a, one(/b), ", "unclosed-parenthesis", 11, /"mirror"/],
  ["mirror(/a, one(/b", "unclosed-parenthesis", 14, /"one"/],
  ["mirror(/a |", "unclosed-parenthesis", 6, /"mirror"/],
  ["mirror(/a; ", "unclosed-parenthesis", 6, /"mirror"/],
  ["mirror(/a; b=c", "unclosed-parenthesis", 6, /"mirror"/],
  ["mirror(/a?", "unclosed-parenthesis", 6, /"mirror"/],
  ["limit ?iops=5", "white-space", 5, /found white space before "\?"/],
  ["limit? iops=5", "white-space", 6, /found white space before/],
  ["limit?a=1 &b=2", "white-space", 9, /found white space before "&"/],
  ["limit?a=1& b=2", "white-space", 10, /found white space before/],
  ["limit #gold", "white-space", 5, /found white space before "#"/],
  ["limit# gold", "white-space", 6, /found white space before/],
  ["mirror(/a; x=1 &y=2)", "white-space", 14, /found white space before "&"/],
];

const BAD_LABELS_AND_OPTIONS: readonly BadCase[] = [
  ["limit#", "bad-label", 6, /found the end after "#", expected a label/],
  ["limit#?a=1", "bad-label", 6, /found "\?" after "#"/],
  ["limit#-a", "bad-label", 6, /found "-a"/],
  ["limit#a/b", "bad-label", 6, /found "a\/b"/],
  ["/a#x | mirror(/b#x)", "duplicate-label", 17, /found the label "x" again/],
  ["mirror#a(/b)#c", "duplicate-label", 12, /found a second label, .*"#a"/],
  ["limit?", "bad-option", 6, /found the end, expected an option key=value/],
  ["limit?|log", "bad-option", 6, /found "\|", expected an option/],
  ["limit?&a=1", "bad-option", 6, /found "&", expected an option/],
  ["limit?a=1&", "bad-option", 10, /found the end, expected an option/],
  ["limit?a=1&&b=1", "bad-option", 10, /found "&", expected an option/],
  ["mirror(/a;)", "bad-option", 10, /found "\)", expected an option/],
  ["mirror(/a; b=c;)", "bad-option", 15, /found "\)", expected an option/],
  ["/a?direct!", "bad-option", 9, /found "direct!", expected key=value/],
  ["/a?=1", "bad-option", 3, /found "=1", expected key=value/],
  ["/a?Size=1", "bad-option", 3, /found "Size=1", .*lower-case/],
  ["/a?si%7Ae=1", "bad-option", 5, /expected key=value/],
  ["/a?size=1&direct=1&size=2", "duplicate-option", 19, /"size" again, .*\(first at character 4\)/],
  ["mirror(/a; meta=none)?meta=tail", "duplicate-option", 22, /"meta" again/],
];

const BAD_HOSTS: readonly BadCase[] = [
  ["nbd://:10809/x", "bad-host", 6, /found ":" and no host before it/],
  ["nbd://::1:10809/x", "bad-host", 6, /found "::1:10809" with several ":", .*brackets/],
  ["nbd://fe80::1/x", "bad-host", 6, /several ":"/],
  ["nbd://[::1/x", "bad-host", 6, /found "\[" without "\]"/],
  ["nbd://[]/x", "bad-host", 6, /not an IPv6 address/],
  ["nbd://[1.2.3.4]/x", "bad-host", 6, /not an IPv6 address/],
  ["nbd://[::g]:1/x", "bad-host", 6, /not an IPv6 address/],
  ["nbd://256.1.1.1/x", "bad-host", 6, /found "256.1.1.1"/],
  ["nbd://1.2.3/x", "bad-host", 6, /found "1.2.3"/],
  ["nbd://-a/x", "bad-host", 6, /found "-a"/],
  ["nbd://a..b/x", "bad-host", 6, /found "a..b"/],
  ["nbd://a%20b/x", "bad-host", 6, /found "a%20b"/],
  ["nbd://é/x", "bad-host", 6, /found "é"/],
  ["nbd://user:secret@h/x", "bad-host", 6, /found credentials before "@"/],
  ["nbd://h:/x", "bad-port", 8, /found nothing after ":", expected a port from 0 to 65535/],
  ["nbd://h:nbd/x", "bad-port", 8, /found "nbd" after ":"/],
  ["nbd://h:-1/x", "bad-port", 8, /found "-1" after ":"/],
  ["nbd://h:65536/x", "bad-port", 8, /found port "65536", expected at most 65535/],
  ["nbd://[::1]:99999999999999999999/x", "bad-port", 12, /expected at most 65535/],
  ["nbd://[::1]x/x", "bad-port", 11, /found "x" after the host/],
];

const BAD_CHARACTERS: readonly BadCase[] = [
  ["/a%", "bad-escape", 2, /found "%", expected "%" and two hexadecimal digits/],
  ["/a%2 | log", "bad-escape", 2, /found "%2"/],
  ["/a%2g", "bad-escape", 2, /found "%2g"/],
  ["/a%20%zz", "bad-escape", 5, /found "%zz"/],
  ["/a?b=%", "bad-escape", 5, /found "%"/],
  ["nbd://[::1%e]/x", "bad-escape", 10, /found "%e\]?"/],
  ["/a%00b", "bad-escape", 2, /found "%00", expected no zero byte/],
  ["/a%20%00", "bad-escape", 5, /found "%00"/],
  ["/a%FF", "bad-escape", 2, /not UTF-8/],
  ["/a%C3/%A9", "bad-escape", 2, /not UTF-8/],
  ["/a%ED%A0%80", "bad-escape", 2, /not UTF-8/],
  ["/a\u0007", "bad-character", 2, /found the character U\+0007, .* \(write %07/],
  ["/a\0", "bad-character", 2, /U\+0000, expected visible text$/],
  ["/a | \u007f", "bad-character", 5, /U\+007F/],
  ["/a\u0085", "bad-character", 2, /U\+0085/],
  ["/a\u00a0| log", "bad-character", 2, /U\+00A0, .*%C2%A0/],
  ["/a\u202eb", "bad-character", 2, /U\+202E/],
  ["\ufeff/a", "bad-character", 0, /U\+FEFF/],
  ["/a\ud800b", "bad-character", 2, /U\+D800, expected visible text$/],
  ["😀/\udc00", "bad-character", 3, /U\+DC00/],
];

for (const [name, cases] of Object.entries({
  "a stage is missing or malformed": BAD_STAGES,
  "a delimiter stands in the wrong place": BAD_DELIMITERS,
  "a label or an option is wrong": BAD_LABELS_AND_OPTIONS,
  "a host or a port is wrong": BAD_HOSTS,
  "a character or an escape is wrong": BAD_CHARACTERS,
})) {
  test(`parsePipe points at the character when ${name}`, () => {
    for (const [text, code, offset, words] of cases) {
      const error = grammarErrorOf(text);
      const where = `${JSON.stringify(text)}: ${error.message}`;
      deepStrictEqual([error.code, error.offset], [code, offset], where);
      ok(words.test(error.message), where);
      ok(/^found .* expected /s.test(error.message), where);
      strictEqual(error.retryable, false);
    }
  });
}

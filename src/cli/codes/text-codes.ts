/**
 * Codes of a pipe's text and of the command line: what is wrong stands at the caret.
 */

import type { CodeList } from "./code-help.ts";

export const TEXT_CODES: CodeList = {
  "bad-character": {
    means: "The text has a character that cannot be seen or cannot stand where it is.",
    causes: "A control character, a copied typographic space, half of a surrogate pair.",
    todo: "Type it anew, or percent-encode it in a path or a value: %20 for a space.",
  },
  "bad-escape": {
    means: "A % is not followed by two hexadecimal digits, or what they say is not UTF-8.",
    causes: "A literal % in a path or a value.",
    todo: "Write %25 for a %, and %7C %2C %28 %29 %3F %26 %23 for | , ( ) ? & #.",
  },
  "bad-host": {
    means: "What stands after :// is no host.",
    causes: "Credentials before an @, an IPv6 address without brackets, a wrong character.",
    todo: "Write a name, an IPv4 address, or [IPv6]. Secrets are given by reference: file:PATH.",
  },
  "bad-label": {
    means: "What follows # is no label.",
    causes: "A label is letters, digits, '.', '_' and '-', and does not look like a place (1.2).",
    todo: "Write for example limit#gold?iops=500, and quote the text for the shell.",
  },
  "bad-name": {
    means: "A stage begins with something that is neither a URI, a path nor a name.",
    causes: "A capital letter, a path without / or ./ before it, a missing quote in the shell.",
    todo: "Write ./disk.img for a file here, SCHEME:// for a source, NAME?key=value for a filter.",
  },
  "bad-option": {
    means: "What stands where an option has to be is none: key=value, or key alone for true.",
    causes: "A missing =, an && for an &, an option's name in capital letters.",
    todo: "Write ?key=value&key=value; quote the whole pipe for the shell.",
  },
  "bad-path": {
    means: "The path of a URI cannot be used.",
    causes: "An empty path, two slashes instead of three (file://disk.img), a zero character.",
    todo: "Write file:///absolute/path, or the bare path.",
  },
  "bad-port": {
    means: "What follows the host is no port from 0 to 65535.",
    causes: "Letters in the port, a number that is too large, a missing slash after it.",
    todo: "Write nbd://HOST:PORT/NAME. Port 0 takes any free one, without a port it is 10809.",
  },
  "bad-scheme": {
    means: "What stands before :// is no scheme's name.",
    causes: "A capital letter or a missing name.",
    todo: "`penstock pipe run --help` lists all schemes.",
  },
  "boolean-invalid": {
    means: "The option takes true or false.",
    causes: "A word that is neither.",
    todo: "Write true, yes, on or 1; or false, no, off or 0.",
  },
  "child-count": {
    means: "A mirror has too few or too many children.",
    causes: "mirror() without a pipe in it, or more than 16.",
    todo: "Write mirror(PIPE, PIPE, ...) with 1 to 16 pipes.",
  },
  "choice-invalid": {
    means: "The option takes one of a few words, and this is none of them.",
    causes: "A spelling mistake, or a choice of a newer version.",
    todo: "Take one of those that the message lists.",
  },
  "duplicate-label": {
    means: "A label stands twice.",
    causes: "Two stages of one text share a label, or one stage has two.",
    todo: "Give each stage one label of its own.",
  },
  "duplicate-option": {
    means: "An option stands twice in one stage.",
    causes: "A copied text.",
    todo: "Keep the one that is meant.",
  },
  "duration-invalid": {
    means: "What stands there is no time.",
    causes: "A missing unit: a bare number is refused.",
    todo: "Write a number and us, ms, s, m or h: 5ms.",
  },
  "duration-out-of-range": {
    means: "The time is shorter or longer than what is allowed here.",
    causes: "A wrong unit.",
    todo: "The message names the range.",
  },
  "empty-stage": {
    means: "There is nothing where a stage has to be.",
    causes: "A | too many, a missing source, an empty argument of mirror().",
    todo: "Write SOURCE | FILTER | SHARE, with something in each place.",
  },
  "filter-as-source": {
    means: "The first stage is a filter.",
    causes: "The source was left out, or stages are in the wrong order.",
    todo: "Begin with a source: a path, malloc://, nbd://, mirror(...).",
  },
  "integer-invalid": {
    means: "The option takes a whole number.",
    causes: "A unit, a decimal point or a letter in it.",
    todo: "Write digits only.",
  },
  "integer-out-of-range": {
    means: "The number is smaller or larger than what is allowed here.",
    causes: "A digit too many.",
    todo: "The message names the range.",
  },
  "invalid-argument": {
    means: "An argument or an option's value on the command line, or of a call, is wrong.",
    causes: "A value of the wrong form or outside its range.",
    todo: "The message says what is expected; the command's --help has examples.",
  },
  "missing-option": {
    means: "A stage lacks an option that it cannot do without.",
    causes: "null:// and malloc:// need size=, nbd+unix:// needs socket=, crypt needs key=.",
    todo: "Add the option that the message names.",
  },
  "missing-share": {
    means: "The pipe does not end in a share, so nobody could connect.",
    causes: "The last stage was left out, or is a filter.",
    todo: "End it with | nbd://127.0.0.1:10809/NAME.",
  },
  "name-too-long": {
    means: "A name, label or export name is longer than what its protocol or the grammar takes.",
    causes: "A generated name.",
    todo: "Shorten it; the message names the limit.",
  },
  "not-a-filter": {
    means: "A URI stands between the first and the last stage.",
    causes: "Two sources or two shares in one pipe.",
    todo: "Make two pipes, or put several sources into mirror(...).",
  },
  "not-one-stage": {
    means: "One stage was expected, and this is a pipe of several.",
    causes: "A | in what `pipe insert` or `pipe set` gets.",
    todo: "Insert the filters one at a time.",
  },
  "not-yet": {
    means: "What was asked for is planned, but not in this version.",
    causes: "A text written for a later version.",
    todo: "Take one of those that the message lists.",
  },
  "option-refused": {
    means: "The option's value does not go with the other options of the stage.",
    causes: "Two options that contradict each other.",
    todo: "The message says which ones, and what is expected.",
  },
  "probability-invalid": {
    means: "The option takes a probability.",
    causes: "A percentage, or a number above 1.",
    todo: "Write a number from 0 to 1, such as 0.01.",
  },
  "range-invalid": {
    means: "The option takes a range of bytes.",
    causes: "One size only, or the larger one first.",
    todo: "Write FROM-TO with units: 1MiB-2MiB; the end is not part of it.",
  },
  "secret-invalid": {
    means: "A secret stands in the text, where only a reference to one may.",
    causes: "A key or password typed into the pipe. It is masked in what Penstock prints.",
    todo: "Write key=file:PATH or key=env:NAME, and take another secret.",
  },
  "size-invalid": {
    means: "What stands there is no size, or the device cannot have it.",
    causes: "A missing or unknown unit; not a multiple of the block size; nothing at all.",
    todo: "Write a number and B, KiB, MiB, GiB or TiB, in whole blocks: 10GiB.",
  },
  "size-out-of-range": {
    means: "The size is smaller or larger than what is allowed here.",
    causes: "A wrong unit.",
    todo: "The message names the range.",
  },
  "socket-path-invalid": {
    means: "The path of a Unix socket is empty or longer than what the kernel takes (107 bytes).",
    causes: "A deep folder.",
    todo: "Use a shorter path, for example below /run or /tmp.",
  },
  "source-as-filter": {
    means: "A source stands in the middle of a pipe.",
    causes: "mirror(...) after the first stage.",
    todo: "A pipe has one source, its first stage.",
  },
  "source-as-share": {
    means: "The last stage is a source that cannot share.",
    causes: "Stages in the wrong order.",
    todo: "End the pipe with a share: nbd://127.0.0.1:10809/NAME.",
  },
  "string-out-of-range": {
    means: "A text is shorter or longer than what is allowed here.",
    causes: "A generated value.",
    todo: "The message names the limit.",
  },
  "too-deep": {
    means: "Parentheses are nested deeper than the limit.",
    causes: "mirror() in mirror() in mirror() ...",
    todo: "Make some of them pipes of their own and use them over nbd+unix://.",
  },
  "too-long": {
    means: "The text of the pipe has more than 64 KiB.",
    causes: "A generated text.",
    todo: "Make several pipes of it.",
  },
  "too-many-arguments": {
    means: "A stage has more arguments than the limit.",
    causes: "A generated text.",
    todo: "Make fewer.",
  },
  "too-many-options": {
    means: "A stage has more options than the limit.",
    causes: "A generated text.",
    todo: "Make fewer.",
  },
  "too-many-stages": {
    means: "A pipe has more stages than the limit.",
    causes: "A generated text.",
    todo: "Make fewer.",
  },
  "unclosed-parenthesis": {
    means: "A ( has no ).",
    causes: "A missing ), or a text that the shell has cut: quote it.",
    todo: "Close it.",
  },
  unexpected: {
    means: "Something stands where something else is expected.",
    causes: "A missing | between stages, a stray comma or parenthesis, an unquoted text.",
    todo: "The message says what is expected at the caret.",
  },
  "unexpected-argument": {
    means: "A filter got a pipe as an argument.",
    causes: "Only mirror(...) takes pipes.",
    todo: "Put the filter after the pipe: PIPE | limit?iops=500.",
  },
  "unexpected-host": {
    means: "A host stands where there is none.",
    causes: "Two slashes instead of three.",
    todo: "Write malloc:///NAME, null:///NAME, file:///PATH.",
  },
  "unexpected-share": {
    means: "A share stands where a device is expected.",
    causes: "The library's open() was given a whole pipe.",
    todo: "Leave the share out, and call device.share(...).",
  },
  "unknown-option": {
    means: "There is no such option, on the command line or of this stage.",
    causes: "A spelling mistake; an option of another stage or command.",
    todo: "Take the one that the message proposes, or see --help.",
  },
  "unknown-scheme": {
    means: "There is no such scheme here.",
    causes: "A spelling mistake; a share's scheme as a source.",
    todo: "Take one of those that the message lists.",
  },
  "unknown-stage": {
    means: "There is no stage of that name.",
    causes: "A spelling mistake; a file's name without ./ before it.",
    todo: "`penstock pipe run --help` lists all stages; write ./NAME for a file.",
  },
  "value-too-long": {
    means: "An option's value has more characters than any such value needs.",
    causes: "A generated text.",
    todo: "Shorten it.",
  },
  "white-space": {
    means: "There is white space inside of a stage.",
    causes: "A path or a value with a space in it.",
    todo: "Write %20 for a space; around | and , there may be any.",
  },
};

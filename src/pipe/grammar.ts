/**
 * The grammar of pipes: from a text such as `file:///a | limit?iops=5 | nbd://[::]:10809/a` to a
 * tree, or to an error that points at the character.
 *
 *     pipe      = stage *( "|" stage )
 *     stage     = ( uri / path ) [ "#" label ] [ "?" options ]
 *               / name [ "#" label ] [ arguments ] [ "?" options ]
 *     arguments = "(" pipe *( "," pipe ) [ ";" option *( ( ";" / "&" ) option ) ] ")" [ "#" label ]
 *     options   = option *( "&" option )
 *     option    = key [ "=" value ]
 *     uri       = scheme "://" [ host [ ":" port ] ] [ "/" ... ]
 *
 * White space is free around `|`, `,`, `;` and parentheses and refused elsewhere. In paths and
 * values `| , ( ) ? & # ; %` and white space are percent-encoded. A label stands once. Pure.
 */

import type { Pipe } from "./ast.ts";
import { checkCharacters } from "./characters.ts";
import { GrammarError } from "./grammar-error.ts";
import { TEXT_BYTES_MAX } from "./limits.ts";
import { Parser } from "./parser.ts";
import { missingShare } from "./syntax-errors.ts";

/** Of UTF-8 to one UTF-16 code unit. */
const BYTES_PER_CODE_UNIT_MAX = 3;

interface ParsePipeOptions {
  /** True when the pipe is to be served, so that its last stage must be a share. Default false. */
  readonly needsShare?: boolean;
}

/**
 * Parses `text`, at most TEXT_BYTES_MAX bytes. Throws a {@link GrammarError} and nothing else.
 * Time and memory are linear in the text.
 *
 * The grammar knows no scheme and no filter: whether the stages exist, fit together and end in a
 * share is the registry's to say. With `needsShare` a pipe of one stage is refused here, because
 * it has a source at most.
 */
export function parsePipe(text: string, options: ParsePipeOptions = {}): Pipe {
  checkSize(text);
  checkCharacters(text);
  const pipe = new Parser(text).parse();
  if (options.needsShare === true && pipe.stages.length < 2) {
    throw missingShare(text, pipe.span.offset + pipe.span.length);
  }
  return pipe;
}

function checkSize(text: string): void {
  if (text.length * BYTES_PER_CODE_UNIT_MAX <= TEXT_BYTES_MAX) {
    return;
  }
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(TEXT_BYTES_MAX));
  if (read < text.length) {
    throw new GrammarError({
      code: "too-long",
      // The error must not keep a text without a limit alive.
      text: text.slice(0, read),
      span: { offset: read, length: 0 },
      message: `found a text of more than ${TEXT_BYTES_MAX} bytes, expected at most that many`,
    });
  }
}

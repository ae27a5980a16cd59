/**
 * Errors as a person sees them on standard error, and the exit code that goes with each.
 *
 *   penstock: CODE: message
 *     the pipe's text         (errors of a pipe's text only)
 *        ^
 *
 * An engine's errors look as if they had happened here.
 */

import { CommanderError } from "commander";
import { RemoteError } from "../api/remote-error.ts";
import { GrammarError } from "../pipe/grammar-error.ts";
import { AssertionError } from "../util/assert.ts";
import { type PenstockError, toPenstockError } from "../util/errors.ts";
import { ExitCode } from "./exit-code.ts";

/** Errors that come from what was typed, whatever found them. */
const USAGE_CODES: ReadonlySet<string> = new Set([
  "usage",
  "invalid-argument",
  "needs-yes",
  "placement-unsupported",
  "reactors-unsupported",
  "export-exists",
  "namespace-exists",
  "engine-address-invalid",
  "setting-invalid",
  "unknown-code",
]);

/** Where to look up what was named wrongly. */
const LISTED_BY: ReadonlyMap<string, string> = new Map([
  ["pipe-not-found", "penstock pipe list"],
  ["pool-not-found", "penstock pool list"],
  ["snapshot-not-found", "penstock snapshot list"],
  ["volume-not-found", "penstock replica list"],
]);

export interface ErrorReport {
  /** Lines without the last line's end. */
  readonly text: string;
  readonly exitCode: ExitCode;
}

/** Writes it to standard error. */
export function printError(thrown: unknown): ExitCode {
  const report = reportError(thrown);
  process.stderr.write(`${report.text}\n`);
  return report.exitCode;
}

export function reportError(thrown: unknown): ErrorReport {
  if (thrown instanceof GrammarError) return reportGrammarError(thrown);
  if (thrown instanceof CommanderError) return reportUsage(thrown);
  if (thrown instanceof RemoteError) return reportRemoteError(thrown);
  const error = toPenstockError(thrown);
  if (isInternal(thrown, error)) {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    const text = `penstock: internal: ${stack ?? error.message}`;
    return { text, exitCode: ExitCode.internal };
  }
  const exitCode = USAGE_CODES.has(error.code) ? ExitCode.usage : ExitCode.failure;
  return { text: `penstock: ${error.code}: ${error.message}`, exitCode };
}

function reportGrammarError(error: GrammarError): ErrorReport {
  const [text = "", caret = ""] = error.render().split("\n");
  // The shell has taken the rest of a pipe that was not quoted.
  const isCut = error.code === "missing-share" && !error.text.includes("|");
  const advice = isCut ? " (the shell needs the whole pipe in quotes: 'SOURCE | SHARE')" : "";
  const head = `penstock: ${error.code}: ${error.message}${advice}`;
  return { text: [head, `  ${text}`, `  ${caret}`].join("\n"), exitCode: ExitCode.usage };
}

function reportRemoteError(error: RemoteError): ErrorReport {
  const where = LISTED_BY.get(error.code);
  const advice = where === undefined ? "" : ` (\`${where}\` lists them)`;
  const lines = [`penstock: ${error.code}: ${error.message}${advice}`];
  lines.push(...error.excerpt.map((line) => `  ${line}`));
  const failure = error.code === "internal" ? ExitCode.internal : ExitCode.failure;
  return { text: lines.join("\n"), exitCode: error.isBadRequest ? ExitCode.usage : failure };
}

/** `commander.unknownOption` is ours as `unknown-option`. */
function reportUsage(error: CommanderError): ErrorReport {
  const code = error.code
    .replace(/^commander\./, "")
    .replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const message = error.message.replace(/^error: /, "").replaceAll("\n", " ");
  return { text: `penstock: ${code}: ${message}`, exitCode: ExitCode.usage };
}

function isInternal(thrown: unknown, error: PenstockError): boolean {
  return error.code === "internal" || thrown instanceof AssertionError;
}

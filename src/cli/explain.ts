/** `penstock explain`: prints the catalogue of codes, or one entry of it. */

import { suggestName } from "../pipe/nearest-name.ts";
import { PenstockError } from "../util/errors.ts";
import { allCodes, helpOfCode } from "./codes/all-codes.ts";
import type { CodeHelp } from "./codes/code-help.ts";
import { ExitCode } from "./exit-code.ts";
import { type Column, formatTable, formatValue, type OutputFormat } from "./output.ts";

/** `explain CODE -o json`, and one of `explain -o json`. */
interface CodeView extends CodeHelp {
  readonly code: string;
}

/** @throws PenstockError `unknown-code` */
export function explain(code: string | undefined, output: OutputFormat): ExitCode {
  const text = code === undefined ? listCodes(output) : describeCode(code, output);
  process.stdout.write(text);
  return ExitCode.ok;
}

function describeCode(asked: string, output: OutputFormat): string {
  // As it is copied from a message: "penstock: claimed: /x is in use".
  const code = asked
    .trim()
    .replace(/^penstock: */, "")
    .replace(/:.*$/s, "");
  const view = viewOf(code);
  if (view === undefined) {
    throw new PenstockError({
      code: "unknown-code",
      message:
        `found "${code}", expected a code such as claimed${suggestName(code, allCodes())}: ` +
        "`penstock explain` lists all",
    });
  }
  if (output !== "table") return formatValue(view, output);
  const { means, causes, todo } = view;
  return `${code}\n  meaning  ${means}\n  causes   ${causes}\n  do       ${todo}\n`;
}

function listCodes(output: OutputFormat): string {
  const views = allCodes().flatMap((code) => viewOf(code) ?? []);
  return output === "table" ? formatTable(views, COLUMNS) : formatValue(views, output);
}

function viewOf(code: string): CodeView | undefined {
  const help = helpOfCode(code);
  return help === undefined ? undefined : { code, ...help };
}

const COLUMNS: readonly Column<CodeView>[] = [
  { title: "CODE", text: ({ code }) => code },
  { title: "MEANING", text: ({ means }) => means },
];

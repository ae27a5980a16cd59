/** `penstock explain`: what there is to type, with its help. */

import type { Command } from "commander";
import { outputOption } from "./engine-commands.ts";
import type { ExitCode } from "./exit-code.ts";
import type { OutputFormat } from "./output.ts";

export function addExplain(program: Command, setExitCode: (code: ExitCode) => void): void {
  program
    .command("explain")
    .description("what an error's or event's code means, where it comes from, what to do")
    .argument("[code]", "as it stands in the message: claimed, child-faulted; without one: all")
    .addOption(outputOption())
    .addHelpText("after", EXPLAIN_HELP)
    .action(async (code: string | undefined, options: { readonly output: OutputFormat }) => {
      const { explain } = await import("./explain.ts");
      setExitCode(explain(code, options.output));
    });
}

const EXPLAIN_HELP = `
Errors read \`penstock: CODE: message\`, events \`TIME LEVEL CODE: message\`.

Examples:
  penstock explain claimed
  penstock explain system-enospc
  penstock explain -o json`;

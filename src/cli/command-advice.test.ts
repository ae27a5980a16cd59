// Wrong commands, and what the program says that was meant.

import { match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { CommanderError } from "commander";
import { addAdvice } from "./command-advice.ts";
import { makeProgram } from "./program.ts";
import { reportError } from "./report-error.ts";

/** The whole message, as it is printed. */
async function messageOf(args: readonly string[]): Promise<string> {
  const program = makeProgram(() => undefined);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (thrown) {
    ok(thrown instanceof CommanderError);
    return addAdvice(reportError(thrown).text, { program, args, error: thrown });
  }
  return "nothing wrong";
}

test("addAdvice tells the right command for a wrong one", async () => {
  const cases: readonly (readonly [args: string[], expected: RegExp])[] = [
    [["run", "x"], /unknown-command: .*did you mean `penstock pipe run`\?/],
    [["list"], /`penstock pipe list` or `penstock pool list` or /],
    [["pip", "list"], /Did you mean pipe\?/],
    [["delete", "a"], /unknown command 'delete' \(did you mean `penstock pipe delete` or /],
    [["engine", "shwo"], /unknown-command: .*did you mean `penstock engine show`\?/],
    [["engine", "start"], /unknown-command: .*'start' \(see `penstock engine --help`\)/],
    [["engine", "show", "x"], /excess-arguments: .*\(see `penstock engine show --help`\)/],
    [["pipe", "show", "a", "b"], /excess-arguments: .*\(see `penstock pipe show --help`\)/],
    [["top", "-x"], /unknown-option: .*\(see `penstock top --help`\)/],
    [["pipe", "list", "-o"], /option-missing-argument: .*\(see `penstock pipe list --help`\)/],
    [["/a | nbd://h/a"], /to serve a pipe: penstock pipe run 'SOURCE/],
    [["pipe", "/a|nbd://h/a"], /to serve a pipe: penstock pipe run 'SOURCE/],
    [["pipe", "frob"], /see `penstock pipe --help`/],
    [["pipe", "create", "a", "/b", "|", "c"], /excess-arguments: .*one argument, in quotes/],
    [["--engine", "x", "pipe", "list"], /unknown-option: .*follow their command: penstock \w+/],
    [["pipe", "run", "--reactor", "2", "x"], /unknown-option: .*Did you mean --reactors\?/],
    [["pipe", "show"], /missing-argument: .*see `penstock pipe show --help`/],
    [["pipe", "list", "-o", "xml"], /invalid-argument: .*table, json, yaml/],
    [["completion", "csh"], /invalid-argument: .*bash, zsh, fish/],
  ];
  for (const [args, expected] of cases) {
    const message = await messageOf(args);
    match(message, expected, args.join(" "));
    strictEqual(message.split("\n").length, 1, message);
  }
});

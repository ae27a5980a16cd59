// The written reference is what the program says of itself, and every command says enough.

import { match, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { manifest } from "./manifest.ts";
import { makeProgram } from "./program.ts";
import { codeReference, commandReference, manualPage, notesOf } from "./reference.ts";
import { stageHelp } from "./stage-help.ts";

const DOCS = join(import.meta.dirname, "../../docs");
const ADVICE = "is old: run `npm run reference`";

function program(): Command {
  return makeProgram(() => undefined, stageHelp);
}

test("the written reference and manual page are up to date", () => {
  const files: readonly (readonly [path: string, text: string])[] = [
    ["reference/cli.md", commandReference(program())],
    ["reference/codes.md", codeReference()],
    ["man/penstock.1", manualPage(program(), manifest.version)],
  ];
  for (const [path, text] of files) {
    ok(readFileSync(join(DOCS, path), "utf8") === text, `docs/${path} ${ADVICE}`);
  }
});

test("every command has a description and examples of itself", () => {
  for (const command of leaves(program())) {
    const path = pathOf(command);
    match(command.description(), /^\S.*\S$/, path);
    const notes = notesOf(command);
    match(notes, /^Examples?:$/m, `${path} --help has no examples`);
    ok(notes.includes(`  ${path}`), `${path} --help has no example of itself`);
  }
});

test("every argument but plain names, and every option, is described", () => {
  for (const command of leaves(program())) {
    for (const option of command.options) ok(option.description !== "", option.flags);
    for (const argument of command.registeredArguments) {
      ok(argument.description !== "" || argument.name() === "name", argument.name());
    }
  }
});

test("manualPage has no line that roff would take for a request of its own", () => {
  const page = manualPage(program(), "1.2.3");
  strictEqual(/^(?!\.(?:TH|SH|SS|TP|PP|nf|fi|I|B|\\") ?)[.'].*$/m.exec(page)?.[0], undefined);
  match(page, /^\.SS penstock pipe run \[options\] <pipe\.\.\.>$/m);
});

function* leaves(command: Command): Generator<Command> {
  const inner = command
    .createHelp()
    .visibleCommands(command)
    .filter((each) => each.name() !== "help");
  // `penstock engine` is a command and a group.
  if (inner.length === 0 || notesOf(command) !== "") yield command;
  for (const each of inner) yield* leaves(each);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

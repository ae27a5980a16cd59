// Tests of what may follow the words of a command line; test/e2e/completion.test.ts asks shells.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { type Completion, complete, type Lookup } from "./completion.ts";
import { makeProgram } from "./program.ts";

/** What an engine with two pipes would answer; remembers whom it was asked for. */
class TwoPipes implements Lookup {
  readonly asked: string[] = [];

  pipeNames(engine: string | undefined): ReturnType<Lookup["pipeNames"]> {
    this.asked.push(`pipes of ${engine}`);
    return Promise.resolve(["vol1", "other"].map((word) => ({ word, text: "a pipe" })));
  }

  stages(engine: string | undefined, pipe: string): ReturnType<Lookup["stages"]> {
    this.asked.push(`stages of ${pipe} of ${engine}`);
    return Promise.resolve(["1", "gold"].map((word) => ({ word, text: "a stage" })));
  }

  poolNames(): ReturnType<Lookup["poolNames"]> {
    return Promise.resolve([{ word: "fast", text: "a pool" }]);
  }

  replicaNames(_engine: string | undefined, pool: string): ReturnType<Lookup["replicaNames"]> {
    return Promise.resolve([{ word: `vol-of-${pool}`, text: "a replica" }]);
  }

  snapshotNames(_engine: string | undefined, pool: string): ReturnType<Lookup["snapshotNames"]> {
    return Promise.resolve([{ word: `vol-of-${pool}@monday`, text: "a snapshot" }]);
  }

  codes(): ReturnType<Lookup["codes"]> {
    return Promise.resolve([{ word: "claimed", text: "in use" }]);
  }
}

function ask(words: readonly string[], lookup: Lookup = new TwoPipes()): Promise<Completion> {
  return complete(
    makeProgram(() => undefined),
    words,
    lookup,
  );
}

async function wordsAfter(...words: string[]): Promise<string[]> {
  return (await ask(words)).candidates.map(({ word }) => word);
}

/** Every command with its path. */
function* allCommands(
  command: Command,
  path: readonly string[] = [],
): Generator<[Command, string[]]> {
  yield [command, [...path]];
  for (const each of command.createHelp().visibleCommands(command)) {
    if (each.name() !== "help") yield* allCommands(each, [...path, each.name()]);
  }
}

test("complete offers every command and every option of every command", async () => {
  const program = makeProgram(() => undefined);
  for (const [command, path] of allCommands(program)) {
    const help = command.createHelp();
    const flags = help.visibleOptions(command).map(({ long }) => long);
    deepStrictEqual(await wordsAfter(...path, "--"), flags, path.join(" "));
    const commands = help.visibleCommands(command).map((each) => each.name());
    const offered = await wordsAfter(...path, "");
    for (const name of commands) ok(offered.includes(name), `${path.join(" ")} ${name}`);
  }
  ok(!(await wordsAfter("")).includes("__complete"));
});

test("complete offers values where an argument or an option wants them", async () => {
  const cases: readonly (readonly [words: string[], found: string[], hint: string])[] = [
    [["pipe", "sh"], ["show"], "none"],
    [["pipe", "show", ""], ["vol1", "other"], "none"],
    [["pipe", "show", "vol1", ""], [], "none"],
    [["pipe", "create", "v"], [], "none"],
    [["pipe", "remove", "vol1", "g"], ["gold"], "none"],
    [["pipe", "insert", "vol1", "li"], ["limit?"], "more"],
    [["pipe", "insert", "vol1", "limit?iops=1", "--above", ""], ["1", "gold"], "none"],
    [["pipe", "list", "-o", "j"], ["json"], "none"],
    [["pipe", "list", "--output=y"], ["--output=yaml"], "none"],
    [["pipe", "list", "--nonsense=y"], [], "none"],
    [["engine", "--data-dir", ""], [], "folders"],
    [["engine", "--io", "por", "--reactors"], ["--reactors"], "none"],
    [["engine", "s"], ["show"], "none"],
    [["completion", "z"], ["zsh"], "none"],
    [["explain", "c"], ["claimed"], "none"],
    [["pipe", "run", "mal"], ["malloc:///"], "more"],
    [["pipe", "run", "./disk"], [], "files"],
    [["pipe", "run", "/a?size=1GiB | cr"], ["/a?size=1GiB | crypt?"], "more"],
    [["pipe", "run", "mirror(/a, nbd+"], ["mirror(/a, nbd+unix:///"], "more"],
    [["pipe", "run", "/a | nbd://h/a", "nul"], ["null:///"], "more"],
    [["pool", "show", ""], ["fast"], "none"],
    [["pool", "create", ""], [], "none"],
    [["pool", "create", "p", "/dev/s"], [], "files"],
    [["replica", "create", "f"], ["fast"], "none"],
    [["replica", "create", "fast", ""], [], "none"],
    [["replica", "show", "fast", ""], ["vol-of-fast"], "none"],
    [["replica", "share", "fast", "v", "nbd"], ["nbd", "nbd://", "nbd+unix:///"], "more"],
    [["replica", "list", "--pool", ""], ["fast"], "none"],
    [["nonsense", ""], [], "none"],
    [["pipe", "show", "--", "--"], [], "none"],
  ];
  for (const [words, found, hint] of cases) {
    const completion = await ask(words);
    const shown = completion.candidates.map(({ word }) => word);
    deepStrictEqual(shown, found, words.join(" "));
    strictEqual(completion.hint, hint, words.join(" "));
  }
});

test("complete offers snapshots, and replicas where one is to be taken", async () => {
  deepStrictEqual(await wordsAfter("snapshot", "delete", "fast", ""), ["vol-of-fast@monday"]);
  deepStrictEqual(await wordsAfter("replica", "clone", "fast", "vol"), ["vol-of-fast@monday"]);
  deepStrictEqual(await wordsAfter("snapshot", "diff", "p", "x@y", ""), ["vol-of-p@monday"]);
  deepStrictEqual(await wordsAfter("send", "fast", ""), ["vol-of-fast@monday"]);
  deepStrictEqual(await wordsAfter("receive", "fast", ""), ["vol-of-fast"]);
  deepStrictEqual(await ask(["snapshot", "create", "fast", ""]), {
    candidates: [{ word: "vol-of-fast@", text: "a replica" }],
    hint: "more",
  });
});

test("complete asks the engine that the line names", async () => {
  const lookup = new TwoPipes();
  await ask(["pipe", "show", "--engine", "unix:/x", ""], lookup);
  await ask(["pipe", "remove", "--engine=h:1", "vol1", ""], lookup);
  deepStrictEqual(lookup.asked, ["pipes of unix:/x", "stages of vol1 of h:1"]);
});

/**
 * What may follow the words of an unfinished command line, from the commands as they are. Pure but
 * for the `Lookup` that it is given.
 */

import type { Argument, Command, Option } from "commander";
import { CALL_SOURCES, FILTERS, SHARES, SOURCES } from "../pipe/registry.ts";

/** One word that may stand there. */
export interface Candidate {
  readonly word: string;
  /** In a few words, or "". */
  readonly text: string;
}

/** What the shell adds: names of files, of folders, or nothing, not even a space (`more`). */
export type Hint = "none" | "files" | "folders" | "more";

export interface Completion {
  readonly candidates: readonly Candidate[];
  readonly hint: Hint;
}

/** What only a running engine, or the catalogue, knows. */
export interface Lookup {
  /** @param engine its address as typed, or undefined */
  pipeNames(engine: string | undefined): Promise<readonly Candidate[]>;
  stages(engine: string | undefined, pipe: string): Promise<readonly Candidate[]>;
  poolNames(engine: string | undefined): Promise<readonly Candidate[]>;
  replicaNames(engine: string | undefined, pool: string): Promise<readonly Candidate[]>;
  snapshotNames(engine: string | undefined, pool: string): Promise<readonly Candidate[]>;
  codes(): Promise<readonly Candidate[]>;
}

/** Where the cursor is, once the words before it are understood. */
interface Place {
  readonly command: Command;
  /** Its name with those of its parents, without the program's: "pipe show". */
  readonly path: string;
  /** The arguments before the cursor. */
  readonly values: readonly string[];
  /** The option whose value is to come, or null. */
  readonly option: Option | null;
  readonly engine: string | undefined;
  readonly onlyArguments: boolean;
}

/** Of `replica share`. */
const SHARE_WORDS: readonly Candidate[] = [
  { word: "nbd", text: "on this machine's own address" },
  { word: "nvmf", text: "on this machine's own address" },
];

const NOTHING: Completion = { candidates: [], hint: "none" };

/**
 * @param words typed so far, without the program's name; the last one is what the cursor is at,
 *   perhaps empty
 */
export async function complete(
  program: Command,
  words: readonly string[],
  lookup: Lookup,
): Promise<Completion> {
  const current = words.at(-1) ?? "";
  const place = findPlace(program, words.slice(0, -1));
  const found = await valuesAt(place, current, lookup);
  const candidates = found.candidates.filter(({ word }) => word.startsWith(current));
  return { candidates, hint: found.hint };
}

function findPlace(program: Command, words: readonly string[]): Place {
  let command = program;
  const path: string[] = [];
  let values: string[] = [];
  let option: Option | null = null;
  let engine: string | undefined;
  let onlyArguments = false;
  for (const word of words) {
    if (option !== null && !(option.variadic && word.startsWith("-"))) {
      if (option.long === "--engine") engine = word;
      if (!option.variadic) option = null;
      continue;
    }
    option = null;
    if (!onlyArguments && word === "--") {
      onlyArguments = true;
    } else if (!onlyArguments && word.startsWith("-")) {
      const [name = "", value] = splitOption(word);
      const known = command.options.find(({ short, long }) => name === short || name === long);
      if (known?.long === "--engine") engine = value;
      if (known !== undefined && !known.isBoolean() && value === undefined) option = known;
    } else {
      const sub = values.length === 0 ? subcommand(command, word) : undefined;
      if (sub === undefined) {
        values = [...values, word];
      } else {
        command = sub;
        path.push(sub.name());
      }
    }
  }
  engine ??= process.env.PENSTOCK_ENGINE;
  return { command, path: path.join(" "), values, option, engine, onlyArguments };
}

async function valuesAt(place: Place, current: string, lookup: Lookup): Promise<Completion> {
  const { command, option } = place;
  if (option !== null) return await valuesOfOption(place, option, lookup);
  if (!place.onlyArguments && current.startsWith("-")) {
    const [name = "", value] = splitOption(current);
    if (value === undefined) return { candidates: optionsOf(command), hint: "none" };
    const known = command.options.find(({ long }) => long === name);
    if (known === undefined) return NOTHING;
    const { candidates, hint } = await valuesOfOption(place, known, lookup);
    return {
      candidates: candidates.map(({ word, text }) => ({ word: `${name}=${word}`, text })),
      hint,
    };
  }
  const commands = place.values.length === 0 ? commandsOf(command) : [];
  const argument = argumentAt(command, place.values.length);
  if (argument === undefined) return { candidates: commands, hint: "none" };
  const { candidates, hint } = await valuesOfArgument(place, argument, current, lookup);
  return { candidates: [...commands, ...candidates], hint };
}

function commandsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((each) => ({ word: each.name(), text: each.description() }));
}

function optionsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map(({ long, short, description }) => ({ word: long ?? short ?? "", text: description }));
}

function subcommand(command: Command, word: string): Command | undefined {
  return command.commands.find((each) => each.name() === word || each.aliases().includes(word));
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  return registeredArguments[index] ?? (last?.variadic ? last : undefined);
}

async function valuesOfOption(place: Place, option: Option, lookup: Lookup): Promise<Completion> {
  if (option.argChoices !== undefined) return choicesOf(option.argChoices);
  const value = /<(\w+)/.exec(option.flags)?.[1] ?? "";
  if (value === "dir") return { candidates: [], hint: "folders" };
  if (value === "file") return { candidates: [], hint: "files" };
  if (value === "stage") return await stagesOf(place, lookup);
  if (value === "pipe") return { candidates: await lookup.pipeNames(place.engine), hint: "none" };
  if (value === "pool") return { candidates: await lookup.poolNames(place.engine), hint: "none" };
  return NOTHING;
}

/** By the argument's name and the command that has it. */
async function valuesOfArgument(
  place: Place,
  argument: Argument,
  current: string,
  lookup: Lookup,
): Promise<Completion> {
  const { path, engine } = place;
  if (argument.argChoices !== undefined) return choicesOf(argument.argChoices);
  const name = argument.name();
  if (path === "pipe run" || path === "pipe create") {
    return name === "pipe" ? stagesOfText(current) : NOTHING;
  }
  if (path === "pool create" && name === "name") return NOTHING;
  if (path === "replica create" && name === "replica") return NOTHING;
  if (path === "snapshot create" && name === "snapshot") {
    const replicas = await lookup.replicaNames(engine, place.values[0] ?? "");
    const begun = replicas.map(({ word, text }) => ({ word: `${word}@`, text }));
    return { candidates: begun, hint: "more" };
  }
  switch (name) {
    case "name":
    case "pipe":
      return { candidates: await lookup.pipeNames(engine), hint: "none" };
    case "pool":
      return { candidates: await lookup.poolNames(engine), hint: "none" };
    case "replica":
      return { candidates: await lookup.replicaNames(engine, place.values[0] ?? ""), hint: "none" };
    case "snapshot":
    case "from":
    case "to":
      return {
        candidates: await lookup.snapshotNames(engine, place.values[0] ?? ""),
        hint: "none",
      };
    case "device":
      return { candidates: [], hint: "files" };
    case "share":
      return { candidates: [...SHARE_WORDS, ...shareHeads()], hint: "more" };
    case "stage":
      return await stagesOf(place, lookup);
    case "filter":
      return { candidates: filterHeads(), hint: "more" };
    case "code":
      return { candidates: await lookup.codes(), hint: "none" };
    case "uri":
      return { candidates: sourceHeads(), hint: "more" };
    case "file":
      return { candidates: [], hint: "files" };
    default:
      return NOTHING;
  }
}

async function stagesOf({ engine, values }: Place, lookup: Lookup): Promise<Completion> {
  const [pipe = ""] = values;
  const candidates = pipe === "" ? [] : await lookup.stages(engine, pipe);
  return { candidates, hint: "none" };
}

/** The stage at the end of a pipe's text that is being typed. */
function stagesOfText(text: string): Completion {
  const start = /^(?:.*[|(,])?\s*/s.exec(text)?.[0] ?? "";
  const isFirst = !/[|]\s*$/.test(start);
  const heads = isFirst ? sourceHeads() : [...filterHeads(), ...shareHeads()];
  const candidates = heads.map((head) => ({ word: start + head.word, text: head.text }));
  const matches = candidates.some(({ word }) => word.startsWith(text));
  return { candidates, hint: isFirst && !matches ? "files" : "more" };
}

function sourceHeads(): Candidate[] {
  return [...SOURCES, ...CALL_SOURCES].map(({ example, text }) => ({ word: head(example), text }));
}

function filterHeads(): Candidate[] {
  return FILTERS.map(({ name, text }) => ({ word: `${name}?`, text }));
}

function shareHeads(): Candidate[] {
  return SHARES.map(({ example, text }) => ({ word: head(example), text }));
}

/** "malloc:///" of "malloc:///name?size=64MiB". */
function head(example: string): string {
  return /^(?:[\w+-]+:\/\/\/?|\w+\()/.exec(example)?.[0] ?? example;
}

function choicesOf(choices: readonly string[]): Completion {
  return { candidates: choices.map((word) => ({ word, text: "" })), hint: "none" };
}

function splitOption(word: string): [name: string, value?: string] {
  const at = word.indexOf("=");
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)];
}

/**
 * What somebody most likely meant who typed a command that there is not. Pure.
 */

import type { Command, CommanderError } from "commander";
import { nearestName } from "../pipe/nearest-name.ts";

/** What the parser said, of the command line `args`. */
interface WrongCommand {
  readonly program: Command;
  readonly args: readonly string[];
  readonly error: CommanderError;
}

/** The parser's own guess, which knows neighbours in spelling alone. */
const PARSERS_GUESS = / \(Did you mean [^)]*\)$/;

/**
 * @param text the parser's message, as it is reported
 * @returns with what was meant, in place of the parser's own guess if we know better
 */
export function addAdvice(text: string, wrong: WrongCommand): string {
  const found = lastCommand(wrong.program, wrong.args);
  const advice = adviseCommand(found, wrong);
  if (advice !== "")
    return `${asUnknownCommand(text, found).replace(PARSERS_GUESS, "")} (${advice})`;
  return PARSERS_GUESS.test(text) ? text : `${text} (see \`${found.path} --help\`)`;
}

/** Arguments that the shell has split when there are too many. */
const PIPE_TEXTS: ReadonlySet<string> = new Set(["pipe", "filter"]);

interface FoundCommand {
  readonly command: Command;
  /** What follows it. */
  readonly rest: readonly string[];
  readonly path: string;
}

/** A command that has both work of its own and commands takes a wrong one for an argument. */
function asUnknownCommand(text: string, { command, rest }: FoundCommand): string {
  if (!text.startsWith(EXCESS) || !isGroup(command)) return text;
  return `penstock: unknown-command: unknown command '${firstWord(rest)}'`;
}

const EXCESS = "penstock: excess-arguments: ";

function isGroup(command: Command): boolean {
  return command.commands.length > 0 && command.registeredArguments.length === 0;
}

function firstWord(rest: readonly string[]): string {
  return rest.find((each) => !each.startsWith("-")) ?? "";
}

/** @returns a sentence to add, or "" */
function adviseCommand({ command, rest, path }: FoundCommand, wrong: WrongCommand): string {
  const { program, error } = wrong;
  const word = firstWord(rest);
  if (error.code === "commander.unknownCommand") {
    if (/\||:\/\//.test(word)) return "to serve a pipe: penstock pipe run 'SOURCE | SHARE'";
    const found = pathsEndingIn(program, word);
    return found.length > 0 ? `did you mean ${found}?` : "";
  }
  if (error.code === "commander.excessArguments") {
    if (isGroup(command)) return nearestCommand(command, path, word);
    if (command.registeredArguments.some((argument) => PIPE_TEXTS.has(argument.name()))) {
      return `a pipe is one argument, in quotes: see \`${path} --help\``;
    }
  }
  if (error.code === "commander.unknownOption" && command.commands.length > 0) {
    const flag = /'(--?[\w-]+)/.exec(error.message)?.[1] ?? "";
    const owner = allPaths(program).find(({ command: each }) => hasOption(each, flag));
    if (owner !== undefined) return `options follow their command: ${owner.path} ${flag}`;
  }
  return "";
}

function nearestCommand(command: Command, path: string, word: string): string {
  const near = nearestName(
    word,
    command.commands.map((each) => each.name()),
  );
  return near === undefined ? `see \`${path} --help\`` : `did you mean \`${path} ${near}\`?`;
}

/** The deepest command that the line names, and what follows it. */
function lastCommand(program: Command, args: readonly string[]): FoundCommand {
  let command = program;
  let path = program.name();
  let index = 0;
  for (const word of args) {
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    command = next;
    path += ` ${word}`;
    index++;
  }
  return { command, rest: args.slice(index), path };
}

function pathsEndingIn(program: Command, word: string): string {
  const found = allPaths(program).filter(({ command }) => command.name() === word);
  return found.map(({ path }) => `\`${path}\``).join(" or ");
}

function allPaths(command: Command, before = ""): { path: string; command: Command }[] {
  const path = `${before} ${command.name()}`.trim();
  const inner = command
    .createHelp()
    .visibleCommands(command)
    .filter((each) => each.name() !== "help");
  return [{ path, command }, ...inner.flatMap((each) => allPaths(each, path))];
}

function hasOption(command: Command, flag: string): boolean {
  return command.options.some(({ short, long }) => flag === short || flag === long);
}

/**
 * What somebody most likely meant who typed a command that there is not. Pure.
 */

import type { Command, CommanderError } from "commander";

/**
 * More than the parser's own "did you mean", which knows neighbours in spelling alone.
 * @param args the command line
 * @returns a sentence to add, or ""
 */
export function adviseCommand(
  program: Command,
  args: readonly string[],
  error: CommanderError,
): string {
  const { command, rest, path } = lastCommand(program, args);
  const [word = ""] = rest.filter((each) => !each.startsWith("-"));
  if (error.code === "commander.unknownCommand") {
    if (/\||:\/\//.test(word)) return "to serve a pipe: penstock pipe run 'SOURCE | SHARE'";
    const found = pathsEndingIn(program, word);
    if (found.length > 0 && !/Did you mean/.test(error.message)) return `did you mean ${found}?`;
    return /Did you mean/.test(error.message) ? "" : `see \`${path} --help\``;
  }
  if (error.code === "commander.excessArguments" && command.registeredArguments.length > 0) {
    return `a pipe is one argument, in quotes: see \`${path} --help\``;
  }
  if (error.code === "commander.unknownOption" && command.commands.length > 0) {
    const flag = /'(--?[\w-]+)/.exec(error.message)?.[1] ?? "";
    const owner = allPaths(program).find(({ command: each }) => hasOption(each, flag));
    if (owner !== undefined) return `options follow their command: ${owner.path} ${flag}`;
  }
  return error.code === "commander.missingArgument" ? `see \`${path} --help\`` : "";
}

/** The deepest command that the line names, and what follows it. */
function lastCommand(
  program: Command,
  args: readonly string[],
): { readonly command: Command; readonly rest: readonly string[]; readonly path: string } {
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

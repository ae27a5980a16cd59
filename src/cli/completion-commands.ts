/** `penstock completion`, and the hidden command that its scripts call: what there is to type. */

import { Argument, type Command, Option } from "commander";

const SHELLS = ["bash", "zsh", "fish"] as const;

export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a script that completes commands, options and pipes' names in a shell")
    .addArgument(new Argument("<shell>", "which one").choices(SHELLS))
    .addHelpText("after", COMPLETION_HELP)
    .action(async (shell: (typeof SHELLS)[number]) => {
      const { completionScript } = await import("./completion-scripts.ts");
      process.stdout.write(completionScript(shell));
    });
  program
    .command("__complete", { hidden: true })
    .description("the words that may follow, one a line with a tab and what it is")
    .addOption(new Option("--shell <shell>").choices(SHELLS).makeOptionMandatory())
    .argument("[words...]", "bash: the line up to the cursor; others: its words")
    .allowExcessArguments()
    .action(async (words: string[], { shell }: { shell: (typeof SHELLS)[number] }) => {
      const { printCompletions } = await import("./completion-print.ts");
      await printCompletions(program, shell, words);
    });
}

const COMPLETION_HELP = `
Names of pipes, stages and codes are looked up when they are asked for, from the engine.

Examples:
  source <(penstock completion bash)               in ~/.bashrc
  source <(penstock completion zsh)                in ~/.zshrc, after compinit
  penstock completion fish | source                in ~/.config/fish/config.fish`;

// Completion by the shells themselves: someone types, presses Tab and Enter, and the command that
// was meant has run, with the name of a pipe of a running engine.

import { deepStrictEqual, match, ok } from "node:assert/strict";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { PENSTOCK, startEngine } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

/** Only against hanging. */
const SEE_MS_MAX = 60_000;
/** A completion that waits for a busy engine gives up, and is asked for again. */
const AGAIN_MS = 5000;
const KILL_LINE = "\u0015";
const PATH = `${dirname(PENSTOCK)}:${process.env.PATH}`;

/** An engine with the pipe `vol1`; answers with the environment in which commands find it. */
async function engineWithPipe(t: TestContext): Promise<Record<string, string>> {
  const engine = await startEngine(t, makeTempDir(t));
  const environment = { PENSTOCK_ENGINE: engine.uri, PATH, TERM: "dumb", PS1: "$ " };
  const pipe = "null:///n?size=1MiB | limit#gold?iops=5 | nbd://127.0.0.1:0/n";
  await runCommand(PENSTOCK, ["pipe", "create", "vol1", pipe], { environment });
  return environment;
}

/** A shell on a terminal of its own, as people have it. */
class Terminal {
  text = "";
  readonly #child: ReturnType<typeof spawnTracked>;
  #seen = 0;

  constructor(t: TestContext, shell: string, environment: Record<string, string>) {
    const env = { ...process.env, ...environment };
    const args = ["-qfec", shell, "/dev/null"];
    this.#child = spawnTracked("script", args, { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdin?.on("error", () => undefined);
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("utf8");
    });
    cleanUp(t, () => void this.#child.kill("SIGKILL"));
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Waits for what has not been seen yet. @param again typed when it does not come */
  async see(what: RegExp, again = ""): Promise<void> {
    let againMs = performance.now() + AGAIN_MS;
    for (const endMs = performance.now() + SEE_MS_MAX; ; ) {
      const found = what.exec(this.text.slice(this.#seen));
      if (found !== null) {
        this.#seen += found.index + found[0].length;
        return;
      }
      ok(this.#child.exitCode === null, `the shell has ended: ${this.text}`);
      ok(performance.now() < endMs, `not seen: ${what} in ${JSON.stringify(this.text)}`);
      if (performance.now() > againMs) {
        this.type(again);
        againMs = performance.now() + AGAIN_MS;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Completes a command, a pipe's name and an option's value; Enter runs what has become of it. */
async function completeAndRun(terminal: Terminal): Promise<void> {
  terminal.type("echo re''ady\n");
  await terminal.see(/ready\r?\n/);
  terminal.type("penstock pipe gra\t");
  await terminal.see(/pipe graph/);
  terminal.type("vo\t");
  await terminal.see(/vol1/, "\t");
  terminal.type("--out\t");
  await terminal.see(/--output/);
  terminal.type("te\t\n");
  await terminal.see(/vol1: ready\r?\n/);
  await terminal.see(/#gold/);
}

test("bash completes commands, names and options", { skip: missingTools("bash") }, async (t) => {
  const environment = await engineWithPipe(t);
  const terminal = new Terminal(t, "bash --norc --noprofile -i", environment);
  terminal.type(`source <(penstock completion bash)\n`);
  await completeAndRun(terminal);
  // Within quotes, and after a ":" at which bash cuts words.
  terminal.type("penstock pipe run 'mal\t");
  await terminal.see(/'malloc:\/\/\//);
  terminal.type("m?size=1MiB | nbd\t");
  await terminal.see(/\| nbd/);
  terminal.type(KILL_LINE);
  terminal.type(`penstock pipe show --engine=${environment.PENSTOCK_ENGINE} vo\t`);
  await terminal.see(/vol1/, "\t");
  terminal.type("\n");
  await terminal.see(/uri +nbd:/);
});

test("zsh completes commands, names and options", { skip: missingTools("zsh") }, async (t) => {
  const environment = await engineWithPipe(t);
  const terminal = new Terminal(t, "zsh -f -i", environment);
  terminal.type("autoload -Uz compinit && compinit -D -u && source <(penstock completion zsh)\n");
  await completeAndRun(terminal);
});

test("fish completes commands, names and options", { skip: missingTools("fish") }, async (t) => {
  const environment = { ...(await engineWithPipe(t)), HOME: makeTempDir(t) };
  const completions = async (line: string): Promise<string[]> => {
    const code = `penstock completion fish | source; complete -C '${line}'`;
    const { stdout } = await runCommand("fish", ["-c", code], { environment });
    return stdout.split("\n").filter((each) => each !== "");
  };
  match((await completions("penstock pipe gra")).join(), /^graph\tdraw a pipe/);
  match((await completions("penstock pipe show ")).join(), /^vol1\tnull:/);
  deepStrictEqual(await completions("penstock pipe list -o y"), ["yaml"]);
});

test("completion answers nothing when there is no engine", async (t) => {
  const environment = { PENSTOCK_ENGINE: `unix:${join(makeTempDir(t), "none.sock")}` };
  const args = ["__complete", "--shell", "zsh", "--", "penstock", "pipe", "show", ""];
  const { stdout, stderr } = await runCommand(PENSTOCK, args, { environment });
  deepStrictEqual([stdout, stderr], ["", ""]);
});

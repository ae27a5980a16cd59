/**
 * `penstock engine` once its command line is read: settings of the environment and of the file are
 * added, and then it is a supervisor, a supervisor's worker, or an engine alone.
 *
 * Each part is loaded where it runs: a supervisor carries no engine.
 */

import type { Command } from "commander";
import type { EngineRunOptions } from "./engine-run.ts";
import { applySettings } from "./engine-settings.ts";
import { takeWorkerStart } from "./engine-worker-start.ts";
import type { ExitCode } from "./exit-code.ts";

interface DaemonOptions extends EngineRunOptions {
  readonly config?: string;
  readonly supervisor: boolean;
}

/** @param command parsed. @throws PenstockError `setting-invalid`, and what an engine throws */
export async function runDaemon(command: Command): Promise<ExitCode> {
  const worker = takeWorkerStart();
  if (worker !== null) {
    const { runEngine } = await import("./engine-run.ts");
    return await runEngine(worker.options, worker);
  }
  await applySettings(command);
  const { config: _config, supervisor, ...options } = command.opts<DaemonOptions>();
  if (!supervisor) {
    const { runEngine } = await import("./engine-run.ts");
    return await runEngine(options, null);
  }
  const { EngineSupervisor } = await import("./engine-supervisor.ts");
  const args = [...process.argv.slice(1), "--no-supervisor"];
  return await new EngineSupervisor(options, args).run();
}

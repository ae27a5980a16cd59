// Tests of the marks that faults of media leave, in a folder of the test's own.

import { strictEqual } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { countFaults, markFault } from "./fault-marks.ts";

const folder = mkdtempSync(join(tmpdir(), "penstock-marks-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("marks are counted by medium", () => {
  strictEqual(countFaults("8:1:2", folder), 0);
  markFault("8:1:2", folder);
  markFault("8:1:2", folder);
  markFault("8:1:3", folder);
  strictEqual(countFaults("8:1:2", folder), 2);
  strictEqual(countFaults("8:1:3", folder), 1);
  strictEqual(countFaults("8:1", folder), 0);
});

test("marks outlive the process that left them", () => {
  const url = pathToFileURL(join(import.meta.dirname, "fault-marks.ts")).href;
  const script = `
    const { markFault } = await import(${JSON.stringify(url)});
    markFault("8:1:9", ${JSON.stringify(folder)});
    process.kill(process.pid, "SIGKILL");`;
  const args = ["--input-type=module", "--eval", script];
  strictEqual(spawnSync(process.execPath, args).signal, "SIGKILL");
  strictEqual(countFaults("8:1:9", folder), 1);
});

test("a fault is remembered, by this process, where no mark can be left", () => {
  const nowhere = join(folder, "not", "there");
  markFault("8:1:2", nowhere);
  markFault("8:1:2", nowhere);
  strictEqual(countFaults("8:1:2", nowhere), 2);
});

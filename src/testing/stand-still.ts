/** Has a process of ours stand still, from a moment that the test knows. Stateless. */

import { readdirSync, readFileSync } from "node:fs";
import { settles } from "./settles.ts";

/** Settles when none of its threads runs: SIGSTOP takes effect a little after it was sent. */
export async function standStill(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await settles(
    () => threadStates(pid).every((state) => state === "T"),
    () => `threads of ${pid} in states ${threadStates(pid).join("")}`,
  );
}

function threadStates(pid: number): string[] {
  const folder = `/proc/${pid}/task`;
  return readdirSync(folder).map((thread) => {
    const status = readFileSync(`${folder}/${thread}/status`, "utf8");
    return /^State:\s+(\S)/m.exec(status)?.[1] ?? "?";
  });
}

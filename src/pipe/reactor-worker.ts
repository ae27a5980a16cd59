/**
 * Entry of a reactor's thread: a ReactorHost behind a control channel, and nothing else.
 *
 * The thread ends by itself once `stop` has closed every handle; it is never terminated, as that
 * could abort the process (FFI rule 3). An error that nobody caught is a bug: it is written to
 * standard error and the process ends, because nothing here can be trusted any more.
 */

import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { IoLevel } from "../reactor/io.ts";
import { assert } from "../util/assert.ts";
import { ControlChannel } from "./control-channel.ts";
import { ReactorHost } from "./reactor-host.ts";
import type {
  MainMethods,
  MainNote,
  ReactorMethods,
  ReactorNote,
  ReactorSettings,
} from "./reactor-protocol.ts";
import type { VersionMethods } from "./version-protocol.ts";

/** Documented: a bug in Penstock. */
const EXIT_INTERNAL = 70;
const STDERR = 2;

const settings = workerData as ReactorSettings;

/** Loaded before it is needed; null where there is no FFI, and the main thread ends the process. */
const exitNow =
  settings.level === IoLevel.portable ? null : (await import("../sys/exit-now.ts")).exitNow;

function main(): void {
  assert(parentPort !== null, "a reactor runs in a worker");
  const port = parentPort;
  const host = new ReactorHost(settings, {
    handOff: (toReactor, message) => channel.note({ kind: "hand-off", toReactor, message }),
    report: (pipeId, event) => channel.note({ kind: "event", pipeId, event }),
    reportPool: (event) => channel.note({ kind: "pool-event", event }),
    recordOut: (pipeId, leg) => channel.call("recordOut", { pipeId, leg }),
  });
  const methods: ReactorMethods = {
    start: () => host.start(),
    openDevices: (params) => host.openDevices(params),
    serveDevices: (params) => host.serveDevices(params),
    openProxy: (params) => host.openProxy(params),
    listen: (params) => host.listen(params),
    unlisten: (params) => host.unlisten(params),
    openShare: (params) => host.openShare(params),
    addRemoteShare: (params) => host.addRemoteShare(params),
    removeRemoteShare: (params) => host.removeRemoteShare(params),
    hurryPipe: (params) => host.hurryPipe(params),
    closePipe: (params) => host.closePipe(params),
    insertStage: (params) => host.insertStage(params),
    removeStage: (params) => host.removeStage(params),
    changeStage: (params) => host.changeStage(params),
    resizePipe: (params) => host.resizePipe(params),
    describePipe: (params) => host.describePipe(params),
    describeShare: (params) => host.describeShare(params),
    stats: (params) => host.stats(params),
    createPool: (params) => host.createPool(params),
    importPool: (params) => host.importPool(params),
    probeDisks: (params) => host.probeDisks(params),
    addPoolDisk: (params) => host.addPoolDisk(params),
    growPool: (params) => host.growPool(params),
    scrubPool: (params) => host.scrubPool(params),
    scrubProgress: (params) => host.scrubProgress(params),
    stopScrub: (params) => host.stopScrub(params),
    describePool: (params) => host.describePool(params),
    createVolume: (params) => host.createVolume(params),
    resizeVolume: (params) => host.resizeVolume(params),
    deleteVolume: (params) => host.deleteVolume(params),
    endPool: (params) => host.endPool(params),
    ...versionMethods(host),
    stop: async () => {
      await host.stop();
      // After the answer has been posted: with its port closed the thread has nothing left.
      setImmediate(() => port.close());
    },
  };
  const channel = new ControlChannel<MainMethods, ReactorMethods, MainNote, ReactorNote>(port, {
    methods,
    onNote: (note) => host.adopt(note.message),
  });
  process.on("uncaughtException", (error) => {
    endProcess(settings, channel, error);
  });
}

/** What is done with snapshots and clones. */
function versionMethods(host: ReactorHost): VersionMethods {
  return {
    createSnapshot: (params) => host.versions.createSnapshot(params),
    listSnapshots: (params) => host.versions.listSnapshots(params),
    measureVersion: (params) => host.versions.measureVersion(params),
    rollbackSnapshot: (params) => host.versions.rollbackSnapshot(params),
    cloneSnapshot: (params) => host.versions.cloneSnapshot(params),
    promoteVolume: (params) => host.versions.promoteVolume(params),
    openFlatten: (params) => host.versions.openFlatten(params),
    flattenProgress: (params) => host.versions.flattenProgress(params),
    openDiff: (params) => host.versions.openDiff(params),
    nextDiff: (params) => host.versions.nextDiff(params),
    openSend: (params) => host.versions.openSend(params),
    nextSend: (params) => host.versions.nextSend(params),
    openReceive: (params) => host.versions.openReceive(params),
    putReceive: (params) => host.versions.putReceive(params),
    finishReceive: (params) => host.versions.finishReceive(params),
    receiveState: (params) => host.versions.receiveState(params),
    abortReceive: (params) => host.versions.abortReceive(params),
    closeSession: (params) => host.versions.closeSession(params),
  };
}

/** Does not return: nothing of a broken reactor may run on. */
function endProcess(
  settings: ReactorSettings,
  channel: { note(note: ReactorNote): void },
  error: unknown,
): void {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (exitNow !== null) {
    // From here, since the main thread may be the one that is stuck.
    writeSync(STDERR, `penstock: internal: reactor ${settings.id}: ${stack}\n`);
    exitNow(EXIT_INTERNAL);
  }
  channel.note({ kind: "fatal", stack });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

main();

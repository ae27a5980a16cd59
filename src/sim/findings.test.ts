// What the simulator has found, each bug's shrunk schedule: it must not come back.

import { deepStrictEqual } from "node:assert/strict";
import { test } from "node:test";
import { runSchedule } from "./run.ts";
import { parseSchedule, type Schedule } from "./schedule.ts";
import { scenarioNamed } from "./scenarios.ts";

interface Finding {
  readonly what: string;
  readonly schedule: Schedule;
}

const FINDINGS: readonly Finding[] = [
  {
    what: "NvmfDevice names no place of a difference that has gone when it looks for it",
    schedule: parseSchedule(`{"scenario":"nvmf","seed":2039,"settings":{"initiators":1,
      "clients":1,"sectors":128,"blockSectors":1,"malloc":0,"direct":0,"lyingFlush":0,
      "connections":1,"failFast":0,"inFlight":5,"timeoutMs":3750,"rideOutMs":0,"orderly":0},
      "steps":[
      {"at":1,"kind":"flush","client":0,"first":0,"count":0},
      {"at":0,"kind":"write","client":0,"first":0,"count":1},
      {"at":2,"kind":"write","client":0,"first":0,"count":1},
      {"at":85.937,"kind":"read","client":0,"first":0,"count":3},
      {"at":1,"kind":"read","client":0,"first":0,"count":2},
      {"at":1,"kind":"compare","client":0,"first":0,"count":3},
      {"at":1,"kind":"write","client":0,"first":0,"count":3,"fua":0},
      {"at":7,"kind":"write","client":0,"first":0,"count":1,"fua":1},
      {"at":0.018,"kind":"compare-and-write","client":0,"first":1,"count":1},
      {"at":0,"kind":"write","client":0,"first":104,"count":1},
      {"at":0,"kind":"zeroes","client":0,"first":92,"count":13},
      {"at":3.68,"kind":"compare","client":0,"first":88,"count":21}]}`),
  },
  {
    what: "NbdDevice reports a loss to a flush that comes before anybody was told of it",
    schedule: parseSchedule(`{"scenario":"nbd","seed":236,"settings":{"initiators":1,
      "clients":1,"sectors":128,"blockSectors":1,"malloc":0,"direct":0,"lyingFlush":0,
      "connections":0,
      "failFast":0,"inFlight":3,"timeoutMs":0,"rideOutMs":0,"orderly":0},
      "steps":[
      {"at":0,"kind":"write","client":0,"first":0,"count":1},
      {"at":1,"kind":"power-loss","host":0,"keep":0,"ms":0},
      {"at":0,"kind":"write","client":0,"first":0,"count":1},
      {"at":4,"kind":"flush","client":0,"first":0,"count":0},
      {"at":0,"kind":"flush","client":0,"first":0,"count":0}]}`),
  },
  {
    what: "NvmfDevice does not say that a comparison failed whose write was lost in part",
    schedule: parseSchedule(`{"scenario":"nvmf","seed":280,"settings":{
      "initiators":1,"clients":1,"sectors":256,"blockSectors":1,"malloc":0,"direct":0,
      "lyingFlush":0,"connections":4,"failFast":0,"inFlight":3,"timeoutMs":30,
      "rideOutMs":7500,"orderly":0},
      "steps":[
      {"at":0,"kind":"write","client":0,"first":0,"count":1,"fua":0},
      {"at":0,"kind":"read","client":0,"first":0,"count":2},
      {"at":0,"kind":"write","client":0,"first":0,"count":1},
      {"at":7,"kind":"discard","client":0,"first":0,"count":1},
      {"at":1,"kind":"read","client":0,"first":0,"count":2},
      {"at":0,"kind":"write","client":0,"first":0,"count":7},
      {"at":1,"kind":"write","client":0,"first":0,"count":3},
      {"at":1,"kind":"zeroes","client":0,"first":0,"count":1},
      {"at":1,"kind":"write","client":0,"first":0,"count":7,"fua":0},
      {"at":1,"kind":"read","client":0,"first":0,"count":2},
      {"at":0.664,"kind":"flush","client":0,"first":0,"count":0},
      {"at":1,"kind":"compare-and-write","client":0,"first":0,"count":6},
      {"at":15,"kind":"write","client":0,"first":0,"count":3},
      {"at":1,"kind":"read","client":0,"first":0,"count":1},
      {"at":1,"kind":"write","client":0,"first":0,"count":4,"fua":1},
      {"at":0,"kind":"read","client":0,"first":0,"count":3},
      {"at":0.068,"kind":"compare-and-write","client":0,"first":35,"count":3},
      {"at":0.799,"kind":"disk-hang","host":0,"on":"write","times":0,"ms":34},
      {"at":1,"kind":"write","client":0,"first":0,"count":1},
      {"at":1,"kind":"write","client":0,"first":1,"count":1,"fua":0},
      {"at":1,"kind":"kill","process":0,"ms":0}]}`),
  },
  {
    what: "a simulated initiator that died while it opened its device leaves the next one alone",
    schedule: parseSchedule(`{"scenario":"nvmf","seed":20263080,"settings":{"initiators":2,
      "clients":1,"sectors":1,"blockSectors":1,"malloc":1,"direct":0,"lyingFlush":0,
      "connections":0,"failFast":0,"inFlight":1,"timeoutMs":0,"rideOutMs":937,"orderly":1},
      "steps":[
      {"at":0,"kind":"kill","process":2,"ms":0},
      {"at":1,"kind":"power-loss","host":2,"keep":-1,"ms":0},
      {"at":11,"kind":"kill","process":0,"ms":1},
      {"at":1,"kind":"write","client":1,"first":0,"count":1}]}`),
  },
];

for (const { what, schedule } of FINDINGS) {
  test(what, async () => {
    const scenario = scenarioNamed(schedule.scenario);
    if (scenario === undefined) throw new Error(`no scenario ${schedule.scenario}`);
    const { violations } = await runSchedule(scenario, schedule);
    deepStrictEqual(violations, []);
  });
}

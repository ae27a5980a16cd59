// Tests of the registry and of planning: what each stage accepts, and where errors point.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { GrammarError } from "./grammar-error.ts";
import { planPipe, planPipes } from "./pipe-plan.ts";
import { CALL_SOURCES, FILTERS, SHARES, SOURCES } from "./registry.ts";
import { shareName } from "./share-plan.ts";
import { nbdUri } from "./shares/nbd-share.ts";
import { nvmfUri } from "./shares/nvmf-share.ts";

const SHARE = "nbd://127.0.0.1:0/x";
/** 34 characters. */
const NVMF = "nvmf:///nqn.2026-11.io.penstock:v1";

function errorOf(text: string): GrammarError {
  try {
    planPipe(text);
  } catch (error) {
    ok(error instanceof GrammarError, `${text}: ${error}`);
    return error;
  }
  throw new Error(`planned: ${text}`);
}

type BadCase = readonly [text: string, code: string, offset: number, words: RegExp];

function checkError([text, code, offset, words]: BadCase): void {
  const error = errorOf(text);
  strictEqual(error.code, code, text);
  strictEqual(error.offset, offset, text);
  ok(words.test(error.message), `${text}: ${error.message}`);
}

test("every example of the registry can be planned when it stands in its place", () => {
  for (const { example } of SOURCES) planPipe(`${example} | ${SHARE}`);
  for (const { example } of FILTERS) planPipe(`/a/b | ${example} | ${SHARE}`);
  for (const { example } of CALL_SOURCES) planPipe(`${example} | ${SHARE}`);
  for (const { example } of FILTERS) planPipe(`/a/b | ${example} | ${SHARE}`);
  for (const { example } of SHARES) planPipe(`/a/b | ${example}`);
});

test("the help of a stage names exactly the options that it reads", () => {
  const known = (text: string): string[] => {
    const listed = /expected one of ([a-z, -]+)/.exec(errorOf(text).message)?.[1] ?? "";
    return listed === "" ? [] : listed.split(", ").map((key) => key.trim());
  };
  const helped = (stage: { options: readonly { key: string }[] }): string[] =>
    stage.options.map(({ key }) => key).sort();
  const join = (example: string): string => `${example}${example.includes("?") ? "&" : "?"}zzz=1`;
  for (const source of SOURCES) {
    deepStrictEqual(known(`${join(source.example)} | ${SHARE}`), helped(source), source.scheme);
  }
  for (const filter of FILTERS) {
    const text = `/a/b | ${join(filter.example)} | ${SHARE}`;
    deepStrictEqual(known(text), helped(filter), filter.name);
  }
  for (const source of CALL_SOURCES) {
    deepStrictEqual(known(`${join(source.example)} | ${SHARE}`), helped(source), source.name);
  }
  for (const filter of FILTERS) {
    const text = `/a/b | ${join(filter.example)} | ${SHARE}`;
    deepStrictEqual(known(text), helped(filter), filter.name);
  }
  for (const share of SHARES) {
    deepStrictEqual(known(`/a/b | ${join(share.example)}`), helped(share), share.scheme);
  }
});

test("planPipe points at the character when a stage is wrong", () => {
  const cases: readonly BadCase[] = [
    [`maloc:///a?size=1MiB | ${SHARE}`, "unknown-scheme", 0, /did you mean "malloc"/],
    ["/a/b | nbe://h/x", "unknown-scheme", 7, /did you mean "nbd"/],
    [`nbd://h:0/x | ${SHARE}`, "bad-port", 6, /port 0/],
    [`nbd+unix:///x | ${SHARE}`, "missing-option", 0, /"socket"/],
    [`nbd://h/x?connections=65 | ${SHARE}`, "integer-out-of-range", 22, /to 64/],
    [`nbd://h/x?timeout=1ms | ${SHARE}`, "duration-out-of-range", 18, /10ms/],
    ["/a/b | file:///b", "source-as-share", 7, /which is a source/],
    ["/a/b | /c/d", "source-as-share", 7, /which is a source/],
    [`mirror | ${SHARE}`, "child-count", 0, /0 children, expected 1 to 16/],
    [`mirror(/a/b, /c/d)?meta=tail | ${SHARE}`, "not-yet", 24, /not yet in this version/],
    [`mirror(/a/b, limt) | ${SHARE}`, "unknown-stage", 13, /expected a source/],
    ["/a/b | mirror(/a/b, /c/d)", "missing-share", 7, /expected a share/],
    [`/x/y | mirror(/a/b, /c/d) | ${SHARE}`, "source-as-filter", 7, /which is a source/],
    [`/a/b | log?level=some | ${SHARE}`, "choice-invalid", 17, /off, error, all/],
    [`/a/b | log?rate=0 | ${SHARE}`, "integer-out-of-range", 16, /from 1/],
    [`/a/b | fault?read=torn | ${SHARE}`, "choice-invalid", 18, /off, error, corrupt, hang/],
    [`/a/b | fault?all=corrupt | ${SHARE}`, "choice-invalid", 17, /off, error, hang/],
    [`/a/b | fault?all=error&status=ok | ${SHARE}`, "option-refused", 30, /kind error/],
    [`/a/b | fault?range=1MiB | ${SHARE}`, "range-invalid", 19, /1MiB-2MiB/],
    [`/a/b | fault?range=2MiB-1MiB | ${SHARE}`, "range-invalid", 19, /larger/],
    [`/a/b | fault?probability=2 | ${SHARE}`, "probability-invalid", 25, /from 0 to 1/],
    [`/a/b | fault?count=0 | ${SHARE}`, "integer-out-of-range", 19, /from 1/],
    [`/a/b | slice?offset=1KB | ${SHARE}`, "option-refused", 20, /multiple of 512/],
    [`/a/b | slice?length=0B | ${SHARE}`, "size-out-of-range", 20, /outside 512/],
    [`/a/b | delay?time=2h | ${SHARE}`, "duration-out-of-range", 18, /to 1h/],
    [`/a/b | limit(/c/d) | ${SHARE}`, "unexpected-argument", 13, /takes options only/],
    [`/a/b | limit?iops=0 | ${SHARE}`, "integer-out-of-range", 18, /from 1/],
    [`/a/b | limit?bandwidth=50 | ${SHARE}`, "size-invalid", 23, /unit is required/],
    [`/a/b | limit?burst=1ms | ${SHARE}`, "duration-out-of-range", 19, /10ms/],
    [`limit | ${SHARE}`, "filter-as-source", 0, /which is a filter/],
    [`/a/b | limt | ${SHARE}`, "unknown-stage", 7, /did you mean "limit"/],
    [`limt | ${SHARE}`, "unknown-stage", 0, /expected a source/],
    ["/a/b | limit", "missing-share", 7, /expected a share/],
    ["/a/b | iscsi://h/x", "not-yet", 7, /iscsi:\/\/, which is not yet/],
    [`/a/b | ${SHARE} | ${SHARE}`, "not-a-filter", 7, /between source and share/],
    ["/a/b", "missing-share", 4, /found the end/],
    [`lvol:///p | ${SHARE}`, "bad-path", 7, /expected a pool and a volume/],
    [`lvol:///p/v/w | ${SHARE}`, "bad-path", 7, /lvol:\/\/\/POOL\/VOLUME/],
    [`lvol://h/p/v | ${SHARE}`, "unexpected-host", 7, /three slashes/],
    [`lvol:///p/v?readonly=maybe | ${SHARE}`, "boolean-invalid", 21, /true or false/],
    [`/a/b | lvol:///p/v`, "source-as-share", 7, /which is a source/],
    [`malloc://a?size=1MiB | ${SHARE}`, "unexpected-host", 9, /three slashes/],
    [`malloc:///a?siz=1MiB | ${SHARE}`, "missing-option", 12, /did you mean it by "siz"/],
    [`/a/b?sise=1GiB | ${SHARE}`, "unknown-option", 5, /did you mean "size"/],
    [`null:///?size=1000 | ${SHARE}`, "size-invalid", 14, /unit is required/],
    [`null:///?size=1001B | ${SHARE}`, "option-refused", 14, /multiple of 512/],
    [`null:///?size=1MiB&blocksize=1024 | ${SHARE}`, "choice-invalid", 29, /512, 4096/],
    [`/a/ | ${SHARE}`, "bad-path", 0, /no file name/],
    [`/a/b?direct=maybe | ${SHARE}`, "boolean-invalid", 12, /true or false/],
    ["/a/b | nbd+unix:///x", "missing-option", 7, /"socket"/],
    [`/a/b | nbd+unix:///x?socket=/${"s".repeat(107)}`, "socket-path-invalid", 28, /108 bytes/],
    ["/a/b | nbd+unix://h/x?socket=/s", "unexpected-host", 18, /found a host/],
    ["/a/b | nbd://h/x?maxconnections=0", "integer-out-of-range", 32, /from 1/],
    [
      "/a/b?size | nvmf:///nqn.2026-11.x:y",
      "bad-option",
      9,
      /"size" without a value, .*size=VALUE/,
    ],
    ["/a/b | crypt?key | nbd:///x", "bad-option", 16, /"key" without a value/],
    [`/a/b | nbd://h/${"n".repeat(4097)}`, "name-too-long", 14, /4097 bytes/],
    [`/a/b | nbd://h/x?description=${"%C3%A4".repeat(2049)}`, "string-out-of-range", 29, /4098/],
  ];
  for (const each of cases) checkError(each);
});

test("planPipe points at the character when an nvmf share is wrong", () => {
  const cases: readonly BadCase[] = [
    ["/a/b | nvmf://h:4420", "nqn-invalid", 7, /found no NQN/],
    ["/a/b | nvmf://h:4420/", "nqn-invalid", 20, /found no NQN/],
    ["/a/b | nvmf://h/vol1", "nqn-invalid", 15, /found "vol1"/],
    [`/a/b | nvmf:///nqn.2014-08.org.nvmexpress.discovery`, "nqn-invalid", 14, /every server/],
    [`/a/b | nvmf:///nqn.2026-11.x:${"y".repeat(210)}`, "nqn-invalid", 14, /of 224 bytes/],
    [`/a/b | ${NVMF}?nsid=0`, "integer-out-of-range", 47, /from 1 to 1024/],
    [`/a/b | ${NVMF}?uuid=x`, "uuid-invalid", 47, /found "x", expected a UUID/],
    [`/a/b | ${NVMF}?hosts=nqn.2026-11.x:a+b`, "nqn-invalid", 48, /found "b" of 1 bytes/],
    [`/a/b | ${NVMF}?serial=%C3%A4`, "string-out-of-range", 49, /not ASCII/],
    [`/a/b | ${NVMF}?model=${"m".repeat(41)}`, "string-out-of-range", 48, /41 characters/],
    [`/a/b | ${NVMF}?cntlid=7`, "range-invalid", 49, /found "7", expected FROM-TO/],
    [`/a/b | ${NVMF}?cntlid=9-7`, "range-invalid", 49, /the smaller one first/],
    [`/a/b | ${NVMF}?cntlid=0-7`, "integer-out-of-range", 49, /from 1/],
    [`/a/b | ${NVMF}?mdts=96KiB`, "option-refused", 47, /a power of two/],
    [`/a/b | ${NVMF}?mdts=32KiB`, "size-out-of-range", 47, /64KiB/],
    [`/a/b | ${NVMF}?mdts=2MiB`, "size-out-of-range", 47, /1MiB/],
    [`/a/b | ${NVMF}?queues=0`, "integer-out-of-range", 49, /from 1/],
    [`/a/b | ${NVMF}?depth=1`, "integer-out-of-range", 48, /from 2/],
    [`/a/b | ${NVMF}?incapsule=100B`, "option-refused", 52, /a multiple of 16/],
    [`/a/b | ${NVMF}?ana=optimised`, "choice-invalid", 46, /did you mean "optimized"/],
    [`/a/b | ${NVMF}?maxconnections=0`, "integer-out-of-range", 57, /from 1/],
    [`/a/b | ${NVMF}?reservations=`, "string-out-of-range", 55, /an empty value/],
    [`/a/b?shared | ${NVMF}?reservations=/r`, "option-refused", 62, /shared=1/],
    [`/a/b | ${NVMF}?hosst=x`, "unknown-option", 42, /did you mean "hosts"/],
  ];
  for (const each of cases) checkError(each);
});

test("planPipe fills in what a share leaves open, and keeps what it says", () => {
  const { share } = planPipe("/a/b | nbd:///x");
  deepStrictEqual(share, {
    kind: "nbd",
    address: { kind: "tcp", host: "127.0.0.1", port: 10809 },
    exportName: "x",
    description: "",
    readOnly: false,
    maxConnections: undefined,
  });
  const all = planPipe(
    "/a/b | nbd+unix:///a/b%20c?socket=/run/s&description=d&readonly=1&maxconnections=2",
  );
  deepStrictEqual(all.share, {
    kind: "nbd",
    address: { kind: "unix", path: "/run/s" },
    exportName: "a/b c",
    description: "d",
    readOnly: true,
    maxConnections: 2,
  });
});

test("planPipe points at the character when an nvmf source is wrong", () => {
  const cases: readonly BadCase[] = [
    [`nvmf://h | ${SHARE}`, "nqn-invalid", 0, /found no NQN/],
    [`nvmf://h:0/nqn.2026-11.x:y | ${SHARE}`, "bad-port", 7, /port 0/],
    [`${NVMF}?path=a:b | ${SHARE}`, "bad-port", 40, /found "b"/],
    [`${NVMF}?path=a:1+ | ${SHARE}`, "bad-host", 40, /expected HOST or HOST:PORT/],
    [`${NVMF}?path=${"a+".repeat(8)}a | ${SHARE}`, "string-out-of-range", 40, /fewer than 8/],
    [`${NVMF}?queues=65 | ${SHARE}`, "integer-out-of-range", 42, /to 64/],
    [`${NVMF}?depth=256 | ${SHARE}`, "integer-out-of-range", 41, /to 255/],
    [`${NVMF}?hdgst=2 | ${SHARE}`, "boolean-invalid", 41, /true or false/],
    [`${NVMF}?hostnqn=me | ${SHARE}`, "nqn-invalid", 43, /found "me"/],
    [`${NVMF}?hostid=me | ${SHARE}`, "uuid-invalid", 42, /found "me"/],
    [`${NVMF}?kato=1ms | ${SHARE}`, "duration-out-of-range", 40, /100ms/],
    [`${NVMF}?nsid | ${SHARE}`, "bad-option", 39, /nsid=VALUE/],
  ];
  for (const each of cases) checkError(each);
});

test("an nvmf source names all of its servers", () => {
  const { branch } = planPipe(`${NVMF}?path=h2+[::1]:7&hdgst&ddgst=0 | ${SHARE}`);
  deepStrictEqual(branch.source.servers, [
    { kind: "tcp", host: "127.0.0.1", port: 4420 },
    { kind: "tcp", host: "h2", port: 4420 },
    { kind: "tcp", host: "::1", port: 7 },
  ]);
});

test("planPipe fills in what an nvmf share leaves open, and keeps what it says", () => {
  const { share } = planPipe(`/a/b | ${NVMF}`);
  const nothing = {
    hosts: undefined,
    serial: undefined,
    model: undefined,
    controllerIds: undefined,
    transferBytesMax: undefined,
    queuesMax: undefined,
    queueDepthMax: undefined,
    inCapsuleBytes: undefined,
    maxConnections: undefined,
  };
  deepStrictEqual(share, {
    kind: "nvmf",
    address: { kind: "tcp", host: "127.0.0.1", port: 4420 },
    nqn: "nqn.2026-11.io.penstock:v1",
    nsid: 1,
    uuid: "820e9307-63a6-5037-9ecd-9fb25ab9faf6",
    readOnly: false,
    anaState: "optimized",
    reservationsPath: undefined,
    subsystem: nothing,
  });
  const said =
    "nvmf://[::1]:1/nqn.2026-11.x:a%20b?nsid=2&uuid=8F1D1C7E-3A53-4D0A-9A5E-7E6F2B9C4D10&" +
    "readonly&reservations=/r/s&hosts=nqn.2026-11.x:h1+nqn.2026-11.x:h2&serial=S&model=M%20N&" +
    "cntlid=5-7&mdts=64KiB&queues=3&depth=33&incapsule=4KiB&ana=inaccessible&maxconnections=9";
  const all = planPipe(`/a/b | ${said}`);
  strictEqual(all.shareText, said);
  deepStrictEqual(all.share, {
    kind: "nvmf",
    address: { kind: "tcp", host: "::1", port: 1 },
    nqn: "nqn.2026-11.x:a b",
    nsid: 2,
    uuid: "8f1d1c7e-3a53-4d0a-9a5e-7e6f2b9c4d10",
    readOnly: true,
    anaState: "inaccessible",
    reservationsPath: "/r/s",
    subsystem: {
      hosts: ["nqn.2026-11.x:h1", "nqn.2026-11.x:h2"],
      serial: "S",
      model: "M N",
      controllerIds: { min: 5, max: 7 },
      transferBytesMax: 65_536,
      queuesMax: 3,
      queueDepthMax: 33,
      inCapsuleBytes: 4096,
      maxConnections: 9,
    },
  });
});

test("planPipes refuses one namespace twice, whatever its address", () => {
  const pipe = (share: string): string => `null:///x?size=1MiB | ${share}`;
  const other = NVMF.replace("///", "//127.0.0.2:0/");
  throws(() => planPipes([pipe(NVMF), pipe(other)]), { code: "namespace-exists" });
  strictEqual(planPipes([pipe(NVMF), pipe(`${other}?nsid=2`)]).length, 2);
});

test("nvmfUri gives a URI that means the same to us when it is odd", () => {
  for (const nqn of ["nqn.2026-11.io.penstock:vol1", "nqn.2026-11.x:|,()?&#;% ä"]) {
    for (const host of ["::1", "h", "127.0.0.1"]) {
      for (const nsid of [1, 7]) {
        const address = { kind: "tcp", host, port: 65_535 } as const;
        const { share } = planPipe(`/a/b | ${nvmfUri(address, nqn, nsid)}`);
        deepStrictEqual(share.address, address);
        strictEqual(shareName(share), `${nqn} nsid ${nsid}`);
      }
    }
  }
  const address = { kind: "tcp", host: "::1", port: 1 } as const;
  strictEqual(nvmfUri(address, "nqn.2026-11.x:y", 1), "nvmf://[::1]:1/nqn.2026-11.x:y");
});

test("planPipes refuses two pipes two pipes that would be one share, but not on free ports", () => {
  const pipe = (share: string): string => `null:///x?size=1MiB | ${share}`;
  throws(() => planPipes([pipe("nbd://h:1/a"), pipe("nbd://h:1/b"), pipe("nbd://h:1/a")]), {
    code: "export-exists",
  });
  throws(() => planPipes([pipe("nbd:///a"), pipe("nbd://127.0.0.1:10809/a")]), {
    code: "export-exists",
  });
  const unix = pipe("nbd+unix:///a?socket=/run/s");
  throws(() => planPipes([unix, unix]), { code: "export-exists" });
  strictEqual(planPipes([pipe("nbd://h:0/a"), pipe("nbd://h:0/a")]).length, 2);
});

test("nbdUri gives a URI that means the same to us when it is odd", () => {
  const names = ["", "x", "a/b", "ä b", "|,()?&#;%", "[x]", "it's", "100%", "a+b"];
  for (const name of names) {
    for (const address of [
      { kind: "tcp", host: "::1", port: 1 },
      { kind: "tcp", host: "h", port: 65_535 },
      { kind: "unix", path: "/run/a b&c?.sock" },
    ] as const) {
      const { share } = planPipe(`/a/b | ${nbdUri(address, name)}`);
      deepStrictEqual(share.address, address, name);
      strictEqual(shareName(share), name);
    }
  }
  strictEqual(nbdUri({ kind: "tcp", host: "::1", port: 1 }, "x"), "nbd://[::1]:1/x");
  const unix = nbdUri({ kind: "unix", path: "/run/s" }, "x");
  strictEqual(unix, "nbd+unix:///x?socket=/run/s");
});

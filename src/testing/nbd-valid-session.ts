/**
 * One whole NBD session as bytes, from the client's flags to its goodbye, to be cut, split, slowed
 * and spoilt. Stateless.
 */

import { ClientFlag, Command, CommandFlag, InfoType, Option } from "../proto/nbd/constants.ts";
import { clientFlags, goData, metaContextData, option, request } from "./nbd-bytes.ts";

const WRITTEN = Buffer.alloc(600, 0x42);

/** Handshake with every usual option, then each command once. */
export function validSession(exportName: string): Buffer {
  return Buffer.concat([
    clientFlags(ClientFlag.fixedNewstyle | ClientFlag.noZeroes),
    option(Option.structuredReply),
    option(Option.list),
    option(Option.listMetaContext, metaContextData(exportName, ["base:"])),
    option(Option.setMetaContext, metaContextData(exportName, ["base:allocation"])),
    option(Option.info, goData(exportName, [InfoType.name, InfoType.description])),
    option(Option.go, goData(exportName)),
    ...validCommands(),
  ]);
}

/** The same commands for a session that is negotiated already. */
export function validCommands(): Buffer[] {
  return [
    request({ command: Command.write, cookie: 1, offset: 1000, length: WRITTEN.length }),
    WRITTEN,
    request({ command: Command.read, cookie: 2, offset: 900, length: 800 }),
    request({ command: Command.flush, cookie: 3 }),
    request({ command: Command.writeZeroes, cookie: 4, offset: 8192, length: 4096 }),
    request({ command: Command.trim, cookie: 5, offset: 4096, length: 4096 }),
    request({ command: Command.cache, cookie: 6, offset: 0, length: 4096 }),
    request({
      command: Command.blockStatus,
      cookie: 7,
      length: 65536,
      flags: CommandFlag.reqOne,
    }),
    request({ command: Command.read, cookie: 8, length: 70_000, flags: CommandFlag.df }),
    request({ command: Command.disconnect, cookie: 9 }),
  ];
}

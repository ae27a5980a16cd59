// Tests of the NBD device's outages.

import { remoteOutageTests } from "../testing/remote-outage-tests.ts";
import { NBD_PAIR } from "../testing/remote-pairs.ts";

remoteOutageTests(NBD_PAIR);

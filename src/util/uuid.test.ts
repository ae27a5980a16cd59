// Tests of name-based UUIDs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { uuidOfName } from "./uuid.ts";

test("uuidOfName gives the same version 5 UUID for the same name only", () => {
  const first = uuidOfName("file:8:1:42");
  assert.match(first, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(uuidOfName("file:8:1:42"), first);
  assert.notEqual(uuidOfName("file:8:1:43"), first);
});

/**
 * Where a secret is to be found: `file:PATH` or `env:NAME`. The secret itself never stands in a
 * pipe, so pipes can be listed, logged and passed as arguments.
 *
 * Pure: nothing is read here.
 */

/** Whoever uses the secret reads it as late as possible and keeps it in as few places. */
export type SecretReference =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "env"; readonly name: string };

const FILE_PREFIX = "file:";
const ENV_PREFIX = "env:";
const PATH_LENGTH_MAX = 4096;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;

/** The reference that `value` spells, or undefined; the caller must not show a value refused. */
export function parseSecretReference(value: string): SecretReference | undefined {
  if (value.startsWith(FILE_PREFIX)) {
    const path = value.slice(FILE_PREFIX.length);
    return path === "" || path.length > PATH_LENGTH_MAX ? undefined : { kind: "file", path };
  }
  if (value.startsWith(ENV_PREFIX)) {
    const name = value.slice(ENV_PREFIX.length);
    return ENV_NAME.test(name) ? { kind: "env", name } : undefined;
  }
  return undefined;
}

/** Properties of simulated volumes: which changes steps make. Pure. */

/** Numbers of changes are below. */
const NUMBERS = 1000;

/** Some changes, of which one takes away; values have `bytesMax` at most. */
export function propertiesOf(
  number: number,
  bytesMax: number,
): Readonly<Record<string, string | null>> {
  const key = `user.k${number % 5}`;
  if (number % 4 === 0) return { [key]: null };
  const bytes = Math.floor(((number % NUMBERS) / NUMBERS) * bytesMax);
  return { [key]: "x".repeat(bytes), "user.last": String(number) };
}

/** @returns the properties after such changes */
export function changed(
  properties: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const next: Record<string, string> = { ...properties };
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) delete next[key];
    else next[key] = value;
  }
  return next;
}

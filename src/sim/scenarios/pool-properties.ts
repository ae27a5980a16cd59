/** Properties of simulated volumes: which changes steps make. Pure. */

/** Some changes, of which one takes away. */
export function propertiesOf(number: number): Readonly<Record<string, string | null>> {
  const key = `user.k${number % 5}`;
  if (number % 4 === 0) return { [key]: null };
  return { [key]: "x".repeat(number % 700), "user.last": String(number) };
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

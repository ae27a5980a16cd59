/**
 * Where a module that is started, not imported, lies: workers. Pure.
 *
 * In the tree modules are .ts, in the published package .js; the compiler rewrites imports, but not
 * addresses.
 */

/**
 * @param moduleUrl `import.meta.url` of the asking module
 * @param path relative to that, without its ending: "./reactor-worker"
 */
export function moduleBeside(moduleUrl: string, path: string): URL {
  const ending = moduleUrl.endsWith(".ts") ? ".ts" : ".js";
  return new URL(`${path}${ending}`, moduleUrl);
}

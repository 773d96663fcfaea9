// The Inspector's command line: a process a call, as a person would type it. It needs Node 22, which is in its environment.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { main, shownResult, shownTools } from "../driver.mjs";

const inspector = fileURLToPath(new URL("node_modules/.bin/mcp-inspector", import.meta.url));
const TOOL_IS_ERROR = 5; // its exit status if the tool said isError; the result is on stdout all the same
// With --strict it ends with another one if a schema has what some client or model does not take.

await main(async ({ command, args, env }, mode) => {
  const variables = Object.entries(env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const run = (method, ...options) =>
    new Promise((resolve, reject) => {
      const line = ["--cli", "--quiet", "--format", "json", "--protocol-era", mode, ...variables, "--method", method, ...options];
      execFile(inspector, [...line, "--", command, ...args], { maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
        if (error && error.code !== TOOL_IS_ERROR) reject(new Error(`exit status ${error.code}: ${stderr}`));
        else resolve(JSON.parse(stdout).result);
      });
    });
  return {
    tools: async () => ({
      tools: shownTools((await run("tools/list", "--strict")).tools),
      protocol: mode === "legacy" ? (await run("initialize")).protocolVersion : null,
    }),
    call: async (name, given) =>
      shownResult(await run("tools/call", "--tool-name", name, "--tool-args-json", JSON.stringify(given))),
    close: () => {},
  };
});

// The TypeScript SDK 1.x. It validates structuredContent against the output schema itself.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { main, shownResult, shownTools } from "../driver.mjs";

await main(async ({ command, args, env }) => {
  const client = new Client({ name: "typescript-1", version: "0" });
  const transport = new StdioClientTransport({ command, args, env });
  let protocol;
  transport.setProtocolVersion = (version) => (protocol = version); // the SDK tells its transport what was agreed
  await client.connect(transport);
  return {
    tools: async () => ({ tools: shownTools((await client.listTools()).tools), protocol: protocol ?? null }),
    call: async (name, given) => shownResult(await client.callTool({ name, arguments: given })),
    close: () => client.close(),
  };
});

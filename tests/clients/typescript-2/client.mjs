// The TypeScript SDK 2.x, in the era that the plan names. It validates structuredContent against the output schema itself.
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { main, shownResult, shownTools } from "../driver.mjs";

await main(async ({ command, args, env }, mode) => {
  const versionNegotiation = { mode: mode === "legacy" ? mode : { pin: mode } };
  const client = new Client({ name: "typescript-2", version: "0" }, { versionNegotiation });
  await client.connect(new StdioClientTransport({ command, args, env }));
  return {
    tools: async () => ({
      tools: shownTools((await client.listTools()).tools),
      protocol: client.getNegotiatedProtocolVersion() ?? null,
    }),
    call: async (name, given) => shownResult(await client.callTool({ name, arguments: given })),
    close: () => client.close(),
  };
});

// The two tools on the TypeScript SDK, as its documentation would have one write them; fetch is Node's own (undici).
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const { ZUDU_BASE_URL, ZUDU_API_KEY, ZUDU_API_SECRET } = process.env;
const headers = { "X-API-KEY": ZUDU_API_KEY, "X-API-SECRET": ZUDU_API_SECRET };
const e164 = z.string().regex(/^\+[1-9]\d{1,14}$/).describe("E.164: + and country code, digits only");

async function ask(path, init = {}) {
  const response = await fetch(ZUDU_BASE_URL + path, { ...init, headers: { ...headers, ...init.headers } });
  if (!response.ok) throw new Error(`the platform answered ${response.status}`);
  const { data } = await response.json();
  return { content: [{ type: "text", text: JSON.stringify(data) }], structuredContent: data };
}

const server = new McpServer({ name: "phone-numbers", version: "1.0.0" });

server.registerTool(
  "get_phone_number",
  {
    description: "Look up one phone number of the organization: nickname, agents, webhook, trunks.",
    inputSchema: { phone_number: e164 },
  },
  ({ phone_number }) => ask(`/api/phone-numbers/${encodeURIComponent(phone_number)}`),
);

server.registerTool(
  "create_phone_number",
  {
    description:
      "Create a phone number and route it to agents. It may cost money: call it once, for a number the user confirmed.",
    inputSchema: {
      phone_number: e164,
      area_code: z.number().int().min(200).max(999).optional().describe("3-digit area code"),
      nickname: z.string().optional().describe("What people call it"),
      inbound_agent_id: z.string().optional().describe("Agent that answers calls to it"),
      outbound_agent_id: z.string().optional().describe("Agent that places calls from it"),
    },
  },
  (body) =>
    ask("/api/phone-numbers/create", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }),
);

await server.connect(new StdioServerTransport());

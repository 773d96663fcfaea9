// The TypeScript SDK 1.x against the real server, whose platform is a real HTTP server here. This client validates
// structuredContent against the tool's outputSchema, on errors too: it must take every answer there is.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const python = process.argv[2];
const number = "+14155550100";
const json = (status, body, headers = {}) => (response) => {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
};
const error = (message, text) => ({ message, status: "error", error: text });
// About the number that was asked for: an answer to a create that is about another one is not believed.
const ok = (data) => (response, asked) =>
  json(200, { message: "ok", status: "success", error: null, data: { ...data, phone_number: asked } })(response);

const cases = [
  ["a number", ok({ nickname: null, area_code: 415 }), undefined],
  ["fields of other types, and new ones", ok({ area_code: "415", nickname: 7, more: [{}] }), undefined],
  ["401", json(401, error("Unauthorized", "Missing or invalid API key/secret")), "unauthorized"],
  ["404", json(404, error("Phone number not found", "It does not exist")), "not_found"],
  ["409", json(409, error("Phone number already exists", "taken")), "already_exists"],
  ["429", json(429, error("Slow down", "Rate limit"), { "retry-after": "2" }), "rate_limited"],
  ["500", json(500, error("Failed to retrieve phone number", "Database connection failed")), "platform_error"],
  ["200 that says error", json(200, error("No luck", "Carrier down")), "platform_error"],
  ["502 with HTML", json(502, "<html>Bad gateway</html>", { "content-type": "text/html" }), "platform_error"],
  ["a redirect", json(302, "", { location: "https://example.com/" }), "invalid_reply"],
  ["cut JSON", json(200, '{"message": "Pho'), "invalid_reply"],
  ["a drop", (response) => response.destroy(), "unreachable"],
];

let answer;
let posts = 0;
const platform = createServer((request, response) => {
  if (request.method === "POST") posts += 1;
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => answer(response, body ? JSON.parse(body).phone_number : decodeURIComponent(request.url.split("/").pop())));
});
await new Promise((ready) => platform.listen(0, "127.0.0.1", ready));
const address = `http://127.0.0.1:${platform.address().port}`;

async function connected(env, use) {
  const client = new Client({ name: "typescript", version: "0" });
  await client.connect(new StdioClientTransport({ command: python, args: ["-m", "phone_number_mcp", "--journal", ":memory:"], env }));
  const { tools } = await client.listTools(); // from here on it validates
  assert.ok(tools.length >= 2 && tools.every((tool) => tool.outputSchema));
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

async function call(client, name, args, code) {
  const result = await client.callTool({ name, arguments: args });
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
  assert.equal(result.isError ?? false, code !== undefined, JSON.stringify(result));
  assert.equal(result.structuredContent.error?.code, code);
}

const LOST = new Set(["platform_error", "invalid_reply", "unreachable"]); // reading back fails as well here
let passed = 0;
await connected({ ZUDU_API_KEY: "sk_typescript", ZUDU_API_SECRET: "s3cr3t_typescript", ZUDU_BASE_URL: address }, async (client) => {
  for (const [index, [name, reply, code]] of cases.entries()) {
    const another = `+141555501${10 + index}`; // of its own: a number whose create is open is looked up first
    answer = reply;
    posts = 0;
    await call(client, "get_phone_number", { phone_number: number }, code);
    await call(client, "create_phone_number", { phone_number: another }, LOST.has(code) ? "outcome_unknown" : code);
    assert.equal(posts, 1, `${name}: one POST`);
    passed += 1;
  }
  await call(client, "create_phone_number", { phone_number: "4155550100", zzz: 1 }, "invalid_arguments");
  await assert.rejects(client.callTool({ name: "delete_everything", arguments: {} }), { code: -32602 });
  passed += 2;
});
await connected({}, (client) => call(client, "get_phone_number", { phone_number: number }, "not_configured"));
passed += 1;
platform.close();
console.log(`Replies, TypeScript SDK 1.x: ${passed} passed`);

// What every client program on Node does: see python/driver.py, whose plan and report these are.
import { text } from "node:stream/consumers";

const say = (session, step, said) => console.log(JSON.stringify({ session: session.name, case: step, ...said }));

// connect(session, mode) → { tools(): { tools, protocol }, call(tool, arguments): { text, structured, is_error }, close() }
export async function main(connect) {
  const plan = JSON.parse(await text(process.stdin));
  for (const session of plan.sessions) {
    let client;
    try {
      client = await connect(session, plan.mode);
    } catch (error) {
      say(session, "connect", { raised: String(error) });
      continue;
    }
    for (const step of session.steps) {
      try {
        say(session, step.case, await (step.tool ? client.call(step.tool, step.arguments) : client.tools()));
      } catch (error) {
        say(session, step.case, { raised: String(error) });
      }
    }
    await client.close();
  }
}

// What both TypeScript SDKs and the Inspector have in common: the protocol's own field names.
export const shownTools = (tools) =>
  tools.map((tool) => ({
    name: tool.name,
    description: tool.description,
    input_schema: tool.inputSchema,
    output_schema: tool.outputSchema,
  }));

export const shownResult = (result) => ({
  text: result.content[0]?.text ?? null,
  structured: result.structuredContent ?? null,
  is_error: result.isError ?? false,
});

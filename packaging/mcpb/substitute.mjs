// The command that a client starts, by the code that clients use. stdin: {"manifest", "directory", "configurations": […]};
// stdout: one {"command", "args", "env"} for each configuration, which has what a person entered.
import { readFileSync } from "node:fs";
import { sep } from "node:path";
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb";

const { manifest, directory, configurations } = JSON.parse(readFileSync(0, "utf8"));
const commands = [];
for (const userConfig of configurations) {
  // JSON has no undefined: a client whose settings hold none has the key without a value.
  for (const [key, value] of Object.entries(userConfig)) if (value === "(undefined)") userConfig[key] = undefined;
  commands.push(
    await getMcpConfigForManifest({ manifest, extensionPath: directory, systemDirs: {}, userConfig, pathSeparator: sep }),
  );
}
console.log(JSON.stringify(commands));

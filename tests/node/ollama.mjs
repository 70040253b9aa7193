// Asks a proxy with ollama-js all that is asked of it; prints what came back as one JSON object, a key a question.
// Arguments: the proxy's address, a model that takes pictures.
import { Ollama } from 'ollama'

const [host, seeing] = process.argv.slice(2)
const ollama = new Ollama({ host })

const user = (content) => [{ role: 'user', content }]
const picture = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0])
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather for a city',
    parameters: {
      type: 'object',
      required: ['city'],
      properties: { city: { type: 'string' }, n: { type: 'integer' } },
    },
  },
}
const noargs = { type: 'function', function: { name: 'noargs', parameters: { type: 'object', properties: {} } } }
const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
}

async function gathered(stream) {
  const parts = []
  for await (const part of stream) parts.push(part)
  return parts
}

async function turn(streamed) {
  const messages = user('@@TOOL2')
  const asked = { model: 'tools', messages, tools: [weather, noargs] }
  const parts = streamed ? await gathered(await ollama.chat({ ...asked, stream: true })) : [await ollama.chat(asked)]
  messages[0].content = 'weather?'
  const calls = []
  for (const { message } of parts) {
    messages.push(message)
    calls.push(...(message.tool_calls ?? []))
  }
  for (const call of calls) messages.push({ role: 'tool', tool_name: call.function.name, content: '22' })
  const { message } = await ollama.chat(asked)
  return { calls: calls.map((call) => call.function), answer: message.content }
}

async function remembered() {
  const first = await ollama.generate({ model: 'chat', prompt: 'My name is Ada.' })
  const { response, context } = await ollama.generate({ model: 'chat', prompt: 'Who am I?', context: first.context })
  return { response, longer: context.length >= first.context.length }
}

async function aborted() {
  const stream = await ollama.chat({ model: 'chat', messages: user('hi'), stream: true })
  stream.abort()
  await gathered(stream)
}

const questions = {
  chat: () => ollama.chat({ model: 'chat', messages: user('hi') }),
  chat_streamed: async () => gathered(await ollama.chat({ model: 'chat', messages: user('hi'), stream: true })),
  tools: () => turn(false),
  tools_streamed: () => turn(true),
  thinking: () => ollama.chat({ model: 'think', messages: user('hi'), think: true }),
  thinking_streamed: async () =>
    gathered(await ollama.chat({ model: 'think', messages: user('hi'), think: 'high', stream: true })),
  picture: () => ollama.chat({ model: seeing, messages: [{ role: 'user', content: '?', images: [picture] }] }),
  schema: () => ollama.chat({ model: 'chat', messages: user('json'), format: schema }),
  aborted,
  generate: () => ollama.generate({ model: 'chat', prompt: 'hi' }),
  generate_streamed: async () => gathered(await ollama.generate({ model: 'chat', prompt: 'hi', stream: true })),
  context: remembered,
  gap: () => ollama.generate({ model: 'insert', prompt: 'def f(', suffix: 'return x' }),
  embed: () => ollama.embed({ model: 'embed', input: 'a' }),
  embeddings: () => ollama.embeddings({ model: 'embed', prompt: 'a' }),
  list: () => ollama.list(),
  show: () => ollama.show({ model: 'think' }),
  ps: () => ollama.ps(),
  version: () => ollama.version(),
  missing: () => ollama.chat({ model: 'no-such-model-zz', messages: user('hi') }),
  missing_streamed: () => ollama.chat({ model: 'no-such-model-zz', messages: user('hi'), stream: true }),
  failing: () => ollama.chat({ model: 'chat', messages: user('@@ERR500') }),
  breaking: async () => gathered(await ollama.chat({ model: 'chat', messages: user('@@MID'), stream: true })),
  pull: () => ollama.pull({ model: 'no-such-model-zz' }),
}

const answers = {}
for (const [name, ask] of Object.entries(questions)) {
  try {
    answers[name] = await ask()
  } catch (error) {
    answers[name] = { raised: error.name, status: error.status_code ?? null, words: error.error ?? error.message }
  }
}
console.log(JSON.stringify(answers))

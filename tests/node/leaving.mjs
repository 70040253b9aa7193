// Begins a streamed chat with ollama-js and aborts it after its first piece. Argument: the proxy's address.
import { Ollama } from 'ollama'

const ollama = new Ollama({ host: process.argv[2] })
const stream = await ollama.chat({ model: 'chat', messages: [{ role: 'user', content: 'hi' }], stream: true })
try {
  for await (const part of stream) ollama.abort()
} catch (error) {
  console.log(JSON.stringify({ raised: error.name }))
}

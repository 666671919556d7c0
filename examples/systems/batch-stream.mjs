import { batchStream } from 'holysheep'

async function* prompts() {
  for (let n = 1; n <= 1000; n++) yield `Câu hỏi số ${n}`
}

let done = 0
for await (const { success } of batchStream(prompts(), { concurrency: 50 })) if (success) done++
console.log(done, 'answers, with at most 50 prompts in memory at a time')

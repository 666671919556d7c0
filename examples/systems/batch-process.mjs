// simulate: [{"status":500},{"status":400}]
import { batchProcess } from 'holysheep'

const prompts = ['Viết một đoạn văn về AI', 'Giải thích machine learning', 'So sánh NLP và computer vision']
const onProgress = ({ done, total, estimatedMsLeft }) => console.log(done, 'of', total, Math.round(estimatedMsLeft))
const results = await batchProcess(prompts, { model: 'gemini-2.5-flash', concurrency: 2, onProgress })

for (const { index, success, result, error } of results) console.log(index, success, (result ?? error).slice(0, 40))
console.log(`Done ${results.filter(({ success }) => success).length}/${prompts.length} prompts`)

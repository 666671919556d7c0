//! Generated texts of the kinds that models write, with their natural repetitions.

use crate::rng::SeededRng;

/// Random choices from lists.
trait Choices {
    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str;

    /// `count` different items in random order.
    fn sample<'a>(&mut self, items: &[&'a str], count: usize) -> Vec<&'a str>;
}

impl Choices for SeededRng {
    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    fn sample<'a>(&mut self, items: &[&'a str], count: usize) -> Vec<&'a str> {
        let mut all = items.to_vec();
        (0..count.min(items.len())).map(|_| all.swap_remove(self.below(all.len()))).collect()
    }
}

/// A kind of text and its generator.
pub type Kind = (&'static str, fn(&mut SeededRng) -> String);

pub const KINDS: [Kind; 10] = [
    ("English prose", english),
    ("Vietnamese prose", vietnamese),
    ("Chinese prose", chinese),
    ("emoji", emoji),
    ("Markdown list", list),
    ("Markdown table", table),
    ("JSON", json),
    ("code", code),
    ("song", song),
    ("numbers", numbers),
];

fn paragraphs(rng: &mut SeededRng, pool: &[&str], space: &str) -> String {
    let mut text = String::new();
    for (at, sentence) in rng.sample(pool, 12).into_iter().enumerate() {
        if at > 0 {
            text.push_str(if at % 4 == 0 { "\n\n" } else { space });
        }
        text.push_str(sentence);
    }
    text
}

fn english(rng: &mut SeededRng) -> String {
    paragraphs(rng, &ENGLISH, " ")
}

fn vietnamese(rng: &mut SeededRng) -> String {
    paragraphs(rng, &VIETNAMESE, " ")
}

fn chinese(rng: &mut SeededRng) -> String {
    paragraphs(rng, &CHINESE, "")
}

fn emoji(rng: &mut SeededRng) -> String {
    let mut text = String::new();
    for at in 0..8 {
        if at > 0 {
            text.push_str(rng.pick(&["\n", "\n\n", " "]));
        }
        let face = rng.pick(&EMOJI);
        for _ in 0..=rng.below(3) {
            text.push_str(face);
        }
        text.push(' ');
        text.push_str(rng.pick(&ENGLISH).split(',').next().unwrap_or_default());
        text.push_str(rng.pick(&EMOJI));
        text.push_str(rng.pick(&EMOJI));
    }
    text
}

fn list(rng: &mut SeededRng) -> String {
    let starts = ["- **", "- Check that the ", "* [ ] Add ", "1. Use `", "- The client ", "  - "];
    let start = rng.pick(&starts);
    let mut text = rng.pick(&["", "", "Steps:\n\n"]).to_owned();
    let (mut last, mut name) = ("", "");
    for _ in 0..14 {
        while name == last {
            name = rng.pick(&NAMES);
        }
        last = name;
        text.push_str(start);
        text.push_str(name);
        text.push_str(match start {
            "- **" => "**: ",
            "1. Use `" => "` to ",
            _ => " ",
        });
        text.push_str(rng.pick(&ENDINGS));
        text.push('\n');
    }
    text
}

/// Half of the tables are padded to columns.
fn table(rng: &mut SeededRng) -> String {
    let wide = [18, 0][rng.below(2)];
    let row = |a: &str, b: &str, c: &str| format!("| {a:<wide$} | {b:<wide$} | {c:<wide$} |\n");
    let rule = "-".repeat(wide.max(6));
    let header = row("Name", "Status", "Cost") + &row(&rule, &rule, &rule);
    let mut text = rng.pick(&["", "", "## Results\n\n"]).to_owned();
    for block in 0..3 {
        if block > 0 {
            text.push('\n');
        }
        text.push_str(&header);
        for _ in 0..5 {
            let cost = rng.pick(&["0.00", "1.50", "12.00", "n/a"]);
            let status = rng.pick(&["ok", "ok", "failed", "skipped"]);
            text.push_str(&row(rng.pick(&NAMES), status, cost));
        }
    }
    text
}

fn json(rng: &mut SeededRng) -> String {
    let mut rows = Vec::new();
    for id in 0..9 {
        let tags = rng.sample(&["\"new\"", "\"old\"", "\"hot\""], 2).join(", ");
        rows.push(format!(
            "    {{\n      \"id\": {id},\n      \"name\": \"{}\",\n      \"active\": {},\n      \"tags\": [{tags}],\n      \"limits\": {{\n        \"daily\": null,\n        \"total\": null\n      }}\n    }}",
            rng.pick(&NAMES),
            rng.pick(&["true", "false"]),
        ));
    }
    format!("{{\n  \"items\": [\n{}\n  ]\n}}\n", rows.join(",\n"))
}

fn code(rng: &mut SeededRng) -> String {
    let mut text = String::new();
    let header = "```python\nimport json\nimport time\n\n";
    for block in 0..3 {
        if block > 0 {
            text.push_str("```\n\nAnd the next one:\n\n");
        }
        text.push_str(header);
        for _ in 0..2 {
            let name = rng.pick(&NAMES).to_lowercase().replace(' ', "_");
            text.push_str(&format!("def {name}(value):\n"));
            for part in rng.sample(&CODE, 3) {
                text.push_str(part);
            }
            text.push_str(&rng.pick(&REPEATED_LINES).repeat(2 + rng.below(3)));
            text.push_str("    }\n  }\n}\n");
            text.push_str("    return value\n\n\n");
        }
    }
    text
}

fn song(rng: &mut SeededRng) -> String {
    let lines = rng.sample(&LINES, 12);
    let refrain = lines[..1 + rng.below(4)].join("\n");
    let hook = rng.pick(&[
        "",
        "Hey\n",
        "La la la\n",
        "Oh, oh, oh, oh\n",
        "Oh, oh, oh, my love\n",
        "Row, row, row your boat, my dear\n",
    ]);
    let mut text = String::new();
    for verse in lines[4..].chunks(3) {
        text.push_str(&refrain);
        text.push('\n');
        text.push_str(hook);
        text.push_str(hook);
        text.push('\n');
        text.push_str(&verse.join("\n"));
        text.push_str("\n\n");
    }
    text.push_str(&refrain);
    text
}

fn numbers(rng: &mut SeededRng) -> String {
    let mut text = String::new();
    match rng.below(3) {
        0 => (1..60).for_each(|n| text.push_str(&format!("{n}, "))),
        1 => {
            (1..20).for_each(|n| text.push_str(&format!("{n} × {n} = {}\n{n} + {n} = {}\n", n * n, n + n)));
        }
        _ => {
            for _ in 0..30 {
                text.push_str(&format!("{}.{:02}\t", rng.below(3), rng.below(100)));
                text.push_str(rng.pick(&["0\n", "0\t0\n", "1000\n", "0000\n"]));
            }
        }
    }
    text
}

const NAMES: [&str; 10] = [
    "retry budget",
    "retry policy",
    "circuit breaker",
    "token bucket",
    "session",
    "stream",
    "Stream name",
    "deadline",
    "fallback route",
    "cost cap",
];
const ENDINGS: [&str; 6] = [
    "is set before the first request",
    "is set before the last request",
    "has a limit",
    "has a limit and a default",
    "counts every attempt of the call",
    "counts every attempt",
];
const CODE: [&str; 6] = [
    "    if value is None:\n        return None\n",
    "    if value is False:\n        return None\n",
    "    for item in value:\n        print(item)\n",
    "    try:\n        time.sleep(1)\n    except ValueError:\n        pass\n",
    "    total += value[0]\n    total += value[1]\n    total += value[2]\n",
    "    assert value is not None\n    assert value != \"\"\n",
];
/// Lines that code may have several times in a row.
const REPEATED_LINES: [&str; 20] = [
    "\n",
    "}\n",
    "  }\n",
    "0, ",
    "i++;\n",
    "    }\n",
    "<br>\n",
    "None,\n",
    "  pass\n",
    "    nop\n",
    "  </div>\n",
    "print()\n",
    "    yield\n",
    "    step()\n",
    "0x00, 0x00,\n",
    "println!();\n    ",
    "    w.flush();\n",
    "    sleep(0.1)\n",
    "    0, 0, 0, 0, 0, 0, 0, 0,\n",
    "    result.append(default_value)\n",
];
const EMOJI: [&str; 7] = ["👨‍👩‍👧‍👦", "👩🏽‍💻", "🏳️‍🌈", "🇻🇳", "👍🏿", "❤️‍🔥", "😀"];
const LINES: [&str; 12] = [
    "Oh the river runs so slow tonight",
    "Oh the river runs to you",
    "Carry me, carry me home again",
    "Carry me over the hill",
    "And the sheep on the meadow are white as snow",
    "And the sheep on the meadow are few",
    "Sing it low, sing it low, my dear",
    "Sing it high for the morning sun",
    "There was a shepherd who lost his way",
    "There was a shepherd who found it",
    "When the day is done, when the day is done",
    "When the lantern burns on the windowsill",
];
const ENGLISH: [&str; 16] = [
    "A stream that breaks in the middle of a sentence leaves the reader with half an answer.",
    "The shepherd counted the sheep twice, and then he counted them again because the dog had barked.",
    "In the morning the international committee met in the interior of the old building.",
    "It is the case that the theory thereby explains the thing that there was no other way to explain.",
    "However, the results of the second experiment were not the same as the results of the first experiment.",
    "Nobody knew why the light in the corridor was on, and nobody asked.",
    "To be, or not to be, that is the question that every schoolchild has heard too often.",
    "The cost of a request depends on the number of tokens in the prompt and the number of tokens in the answer.",
    "We had had enough of what we had had, so we went to the bookkeeper and asked for a refund.",
    "Again and again the waves broke over the wall, again and again the wall held.",
    "A llama, an aardvark and an eel went to see the papaya trees on a Saturday in August.",
    "If the connection is lost, the client waits for a while and asks for the rest of the answer.",
    "She said that she would come if he came, and he said that he would come if she came.",
    "The longest journey begins with a single step, or so they told us at the beginning of the longest journey.",
    "Their cocoa was cold, their murmured complaints were not heard, and the cancan went on.",
    "On the other hand, there is on the other side of the river a house with a red roof.",
];
const VIETNAMESE: [&str; 14] = [
    "Khi kết nối bị gián đoạn giữa chừng, người dùng chỉ nhận được một nửa câu trả lời.",
    "Tiếng Việt có nhiều thanh điệu, và mỗi thanh điệu làm thay đổi nghĩa của từ.",
    "Người chăn cừu đếm đàn cừu hai lần, rồi đếm lại lần nữa vì con chó sủa.",
    "Nghiên cứu này nghiêng về phía những người nghiêm túc nghĩ đến nghĩa vụ của mình.",
    "Trong thời gian chờ đợi, chương trình sẽ thử lại với thời gian chờ tăng dần.",
    "Những người bạn của những người bạn tôi cũng là bạn của tôi.",
    "Xanh xanh đồng lúa, xa xa núi đồi, trăng trắng mây trôi.",
    "Chi phí của một yêu cầu phụ thuộc vào số lượng token trong câu hỏi và số lượng token trong câu trả lời.",
    "Hà Nội mùa thu, cây cơm nguội vàng, cây bàng lá đỏ.",
    "Nếu nhà cung cấp trả về lỗi, hệ thống tự động chuyển sang nhà cung cấp dự phòng.",
    "Anh ấy nói rằng anh ấy sẽ đến nếu cô ấy đến, còn cô ấy thì không nói gì.",
    "Độ trễ trung bình giảm từ bốn trăm hai mươi mili giây xuống còn một trăm tám mươi mili giây.",
    "Từ từ rồi khoai cũng nhừ, cứ từ từ mà làm.",
    "Cuối cùng, mọi người cùng nhau cùng hát một bài hát cũ.",
];
const CHINESE: [&str; 14] = [
    "连接中断的时候，用户只能看到一半的回答。",
    "人人为我，我为人人，这句话大家都听过。",
    "牧羊人数了两遍羊，然后又数了一遍，因为狗叫了。",
    "如果服务器返回错误，客户端会等待一段时间再试。",
    "天天向上，好好学习，慢慢地走，轻轻地说。",
    "每一个请求的费用取决于输入的长度和输出的长度。",
    "他说他会来，如果她来的话；她说她会来，如果他来的话。",
    "在北京的秋天，树叶一片一片地落下来。",
    "系统会自动切换到备用的服务器，然后继续回答问题。",
    "第一次实验的结果和第二次实验的结果不一样。",
    "一步一步地，他们走到了山的另一边。",
    "哈哈哈哈，他笑着说，没关系没关系。",
    "这个问题的答案是这个问题本身。",
    "最后，大家一起唱了一首很老的歌。",
];

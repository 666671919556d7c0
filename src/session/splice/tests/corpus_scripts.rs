//! Answers in the languages and formats for which the assurance is measured. None repeats its own phrases on purpose.

/// Answers of one kind.
pub type Answers = (&'static str, &'static [&'static str]);

pub const ANSWERS: [Answers; 7] = [
    (
        "English",
        &[
            "The old harbor lies in a bay that the river has filled with sand over the centuries. Fishing boats leave before \
             dawn and come back with the tide, and by noon the market is full of people who bargain for mackerel and crab. In \
             the evening the lamps along the quay are lit one after another, although hardly anybody walks there except for \
             the night watchman, who knows every plank and every rope.",
            "Sea water is salty because rivers dissolve minerals from the rocks they flow over and carry them to the ocean. \
             When the sun heats the surface, water rises as vapor, but the salt stays behind; over millions of years it has \
             become concentrated. You can see the same effect in a small dish: leave it on the windowsill for a week, and a \
             white crust remains once all the water is gone.",
            "A breadth-first search visits the nearest nodes first. It keeps a queue of nodes whose neighbors have not been \
             examined yet, takes the first one, and appends those neighbors it has never seen. Because every step goes one edge \
             further, the first path it finds to a goal is also a shortest one, provided that all edges have equal weight. Its \
             memory grows with the width of the graph, which is why other methods are preferred for very large ones.",
        ],
    ),
    (
        "Vietnamese",
        &[
            "Buổi sáng ở chợ quê bắt đầu từ rất sớm, khi sương còn đọng trên mái lá và tiếng gà gáy vang khắp xóm. Các bà các chị \
             gánh rau, gánh cá từ bến sông lên, vừa đi vừa nói chuyện rôm rả. Đến khoảng tám giờ, nắng đã ấm, người mua kẻ bán chen \
             nhau, trẻ con chạy quanh hàng bánh đúc nóng hổi mà mẹ chúng vừa dọn ra.",
            "Lá cây có màu xanh vì trong tế bào của chúng chứa chất diệp lục, một sắc tố hấp thụ ánh sáng đỏ và xanh lam để quang \
             hợp, còn ánh sáng lục thì phản xạ trở lại mắt ta. Vào mùa thu, khi trời lạnh dần, cây ngừng tạo ra sắc tố này, nên \
             những màu khác vốn bị che khuất như vàng và cam mới hiện rõ trên tán lá.",
        ],
    ),
    (
        "Chinese",
        &[
            "这座石桥建于唐代，横跨在城南的小河上，至今仍有行人往来。桥身由青石砌成，栏杆上刻着莲花和飞鸟，虽经风雨，图案依旧清晰可辨。\
             每到春天，两岸的垂柳轻拂水面，孩子们坐在石阶上钓鱼，老人则提着鸟笼慢慢走过，讲述从前发大水时全村人如何合力保住它的故事。",
            "天空之所以呈现蓝色，是因为阳光进入大气层以后会与空气分子发生散射。波长较短的蓝光被散射得更强烈，于是从四面八方进入我们的眼睛；\
             而红光波长较长，大多直接穿过。傍晚时分太阳接近地平线，光线要走更远的路，蓝色部分几乎耗尽，所以晚霞看上去是橙红色的。",
        ],
    ),
    (
        "Japanese",
        &[
            "雪に覆われた村では、朝になると煙突から細い煙が立ちのぼり、子どもたちの足跡だけが白い道に続いている。古い井戸の水は凍らず、\
             女たちは桶を抱えてそこへ集まり、昨夜の吹雪について小声で話し合う。昼過ぎに郵便屋が橇でやって来て、町に出た息子からの手紙を\
             届けると、囲炉裏のまわりはしばらくの間にぎやかになった。",
            "電車の窓際に座った男は、膝の上に開いた文庫本から一度も目を上げなかった。駅に着くたびに人が乗り降りし、隣の席には次々と違う客が\
             腰を下ろしたが、彼はただ頁をめくり続けている。物語の中の船が港へ戻るころ、外はもう暗くなり、車内の灯りが硝子に映っていた。",
        ],
    ),
    (
        "Thai",
        &[
            "ตลาดน้ำแห่งนี้เปิดตั้งแต่เช้ามืด พ่อค้าแม่ค้าพายเรือลำเล็กบรรทุกผักผลไม้สดจากสวนมาขายริมคลอง นักท่องเที่ยวที่มาถึงก่อนแปดโมงจะได้ชิม\
             ก๋วยเตี๋ยวเรือร้อนๆ พร้อมฟังเสียงเรียกลูกค้าดังไปทั่วท่าน้ำ ส่วนช่วงบ่ายผู้คนเริ่มบางตา เหลือเพียงเด็กๆ กระโดดน้ำเล่นใต้ร่มจามจุรีต้นใหญ่",
            "ฝนเกิดขึ้นเมื่อไอน้ำในอากาศลอยสูงขึ้นจนเย็นตัวลงแล้วกลั่นตัวเป็นหยดเล็กๆ รวมกันเป็นก้อนเมฆ หยดเหล่านั้นชนกันและใหญ่ขึ้นเรื่อยๆ กระทั่งหนัก\
             เกินกว่าที่ลมจะพยุงไว้ได้ จึงตกลงมายังพื้นดิน บริเวณใกล้ภูเขามักมีปริมาณมากกว่าที่ราบเพราะลมพัดพาความชื้นไต่ขึ้นไปตามลาดเขา",
        ],
    ),
    (
        "code",
        &[
            "```python\nfrom pathlib import Path\n\n\ndef count_words(folder, suffix=\".txt\"):\n    totals = {}\n    for path in \
             sorted(Path(folder).rglob(f\"*{suffix}\")):\n        with path.open(encoding=\"utf-8\") as source:\n            for \
             line in source:\n                for word in line.lower().split():\n                    totals[word] = \
             totals.get(word, 0) + 1\n    ranked = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))\n    return \
             ranked[:20]\n\n\nif __name__ == \"__main__\":\n    print(count_words(\"notes\"))\n```\n",
            "```js\nclass Counter {\n  #value = 0\n\n  constructor(start = 0, { max = Infinity } = {}) {\n    this.#value = start\n    \
             this.max = max\n  }\n\n  add(amount = 1) {\n    const next = this.#value + amount\n    if (next > this.max) throw new \
             RangeError(`${next} exceeds ${this.max}`)\n    this.#value = next\n    return this\n  }\n\n  reset() {\n    this.#value = \
             0\n  }\n\n  get current() {\n    return this.#value\n  }\n}\n\nexport default Counter\n```\n",
        ],
    ),
    (
        "JSON",
        &[
            "{\n  \"name\": \"harbor-tools\",\n  \"version\": \"2.4.1\",\n  \"private\": true,\n  \"scripts\": { \"build\": \"tsc -p .\", \
             \"test\": \"node --test\" },\n  \"dependencies\": {\n    \"express\": \"^4.19.2\",\n    \"pino\": \"^9.0.0\",\n    \"zod\": \
             \"^3.23.8\"\n  },\n  \"engines\": { \"node\": \">=20\" }\n}\n",
            "[{\"city\": \"Hà Nội\", \"country\": \"Vietnam\", \"population\": 8053663, \"rivers\": [\"Hồng\", \"Đuống\"]}, {\"city\": \
             \"Kyoto\", \"country\": \"Japan\", \"population\": 1463723, \"rivers\": [\"Kamo\"]}, {\"city\": \"Porto\", \"country\": \
             \"Portugal\", \"population\": 231800, \"rivers\": [\"Douro\"], \"capital\": false}]",
        ],
    ),
];

from drw_tf.report import markdown

HEAD, ROWS = ("class", "recall %"), [("snake", "7.5"), ("a \\| b", "62.5")]


def test_a_table_has_a_rule_below_its_titles():
    expected = "| class | recall % |\n| --- | --- |\n| snake | 7.5 |\n| a \\| b | 62.5 |"
    assert markdown.table(HEAD, ROWS) == expected


def test_columns_of_numbers_are_right_aligned_in_plain_text_too():
    assert markdown.table(HEAD, ROWS, aligned=True).splitlines() == [
        "| class  | recall % |",
        "| ------ | -------: |",
        "| snake  |      7.5 |",
        "| a \\| b |     62.5 |",
    ]


def test_a_name_breaks_neither_a_row_nor_a_line():
    assert markdown.cell("a|b\nc") == "a\\|b c"
    assert markdown.escaped("[a]_*<b>|#`") == "\\[a\\]\\_\\*\\<b\\>\\|\\#\\`"

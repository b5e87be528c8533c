"""What broke elsewhere: every report whose lesson is kept here is named in the test that would fail without it."""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
EXACT = "training/test_exactness.py"
# Reports by the test that names them; a test may hold several lessons, and a lesson several tests.
HELD = {
    f"{EXACT}::test_micro_batches_are_the_full_batch": [
        *("transformers#34191", "litgpt#1947", "LLaMA-Factory#10705", "ms-swift#10084"),
    ],
    f"{EXACT}::test_packed_rows_are_their_examples_one_by_one": [
        *("LLaMA-Factory#7754", "maxtext#4476", "axolotl#3796", "torchtune#875"),
    ],
    "training/test_kernel_exactness.py::test_a_kernel_learns_what_the_reference_learns": ["LLaMA-Factory#7754"],
    "training/test_held_out.py::test_it_is_the_loss_that_training_reports": ["axolotl#3478", "transformers#15466"],
    "training/test_checkpoint.py::test_an_error_of_the_background_surfaces_on_the_next_step": ["orbax#605"],
    "model/test_loss.py::test_labels_are_shifted_once_and_never_across_segments": ["torchtune#2613"],
    "model/test_loss.py::test_a_row_without_targets_has_no_loss_and_no_gradient": ["trl#6320"],
    "inference/test_forward.py::test_scores_leave_the_devices_as_one_number_a_token": ["transformers#15466"],
    "inference/test_engine.py::test_scores_do_not_depend_on_batch_order_or_padding": ["lm-eval#3842"],
    "data/test_prompts.py::test_the_prompt_is_the_beginning_and_only_the_last_answer_is_target": [
        *("trl#976", "trl#6357", "unsloth#416"),
    ],
    "data/test_prompts.py::test_bos_opens_each_prompt_once": ["open-r1#462", "vllm#27515", "NeMo-RL#855"],
    "data/test_prompts.py::test_the_hash_tells_templates_and_tokenizers_apart": ["LlamaFactory#2509"],
    "data/test_tokens.py::test_eos_stays_in_the_loss_when_pad_is_eos": ["trl#976"],
    "data/test_tokens.py::test_an_example_without_target_is_an_error": ["trl#6320"],
    "data/test_tokens.py::test_shortening_keeps_the_answer_and_fits": ["trl#6320", "axolotl#3401"],
    "data/test_rows.py::test_over_length_is_truncated_in_the_input_and_named": [
        *("axolotl#3401", "alpaca-lora's cutoff of 256"),
    ],
    "data/test_batch.py::test_the_parts_of_any_number_of_processes_are_the_batch": ["maxtext#1760"],
    "data/test_hub.py::test_a_hub_id_is_loaded_whole_and_without_remote_code": ["lm-eval#3942"],
    "data/test_tokenizer.py::test_code_in_a_folder_is_neither_run_nor_asked_about": ["lm-eval#3942"],
    "tasks/test_corpora.py::test_every_row_of_the_corpora_at_hand_comes_back": ["lm-eval#3942"],
    "tasks/test_answers.py::test_gold_comes_back": ["lm-eval#3887"],
    "evaluation/test_encoding.py::test_bos_stands_once_in_front": ["lm-eval#3347", "vllm#27515"],
    "evaluation/test_shots.py::test_shots_are_different_items_and_never_the_item": ["lm-eval#3978"],
    "evaluation/test_choice_prompts.py::test_an_item_is_never_its_own_shot": ["lm-eval#3978"],
    "evaluation/test_choice_prompts.py::test_shots_stand_in_their_order_with_their_answers": ["lm-eval#3693"],
    "evaluation/test_extraction.py::test_any_text_is_read": ["lm-eval#2503"],
    "evaluation/test_bootstrap.py::test_resamples_are_scored_by_the_block_and_in_this_process": ["lm-eval#3135"],
    "evaluation/scoring/test_versions.py::test_counts_change_with_the_version_alone": ["lm-eval#3887"],
    "evaluation/scoring/test_table.py::test_without_an_answer_everything_is_wrong_and_counted": [
        *("meditron#29", "PMC-LLaMA#19"),
    ],
    "test_evaluate.py::test_it_leaves_what_it_says": ["meditron#29", "PMC-LLaMA#19"],
    "test_evaluate_more.py::test_another_template_than_in_training_is_told": ["LlamaFactory#2509", "medgemma#37"],
    "test_evaluate_more.py::test_scores_do_not_depend_on_batch": ["lm-eval#3842"],
    "interop/test_start.py::test_another_prompt_template_is_refused": ["LlamaFactory#2509", "medgemma#37"],
    "interop/test_start.py::test_the_start_is_remembered": ["EasyDeL#259"],
    "interop/test_quantized_base.py::test_the_identity_is_of_what_was_loaded_whatever_the_mesh": ["EasyDeL#259"],
    "interop/test_peft_adapter.py::test_verify_refuses_an_adapter_that_learnt_nothing": ["alpaca-lora#293", "qlora#44"],
    "interop/test_merge.py::test_tensors_are_those_that_peft_merges": ["peft#2321", "peft#1043", "unsloth#3091"],
    "interop/test_merge.py::test_what_is_read_back_is_what_was_to_be_written": ["unsloth#7937"],
    "test_export.py::test_a_file_damaged_on_its_way_is_found": ["unsloth#7937"],
    "interop/test_vllm_check.py::test_what_vllm_does_not_take_and_why": [
        *("vllm#9280", "vllm#32599", "vllm's peft_helper"),
    ],
    "interop/test_hub_config.py::test_old_and_new_rope_settings_are_the_same": ["maxtext#1839", "levanter#649"],
    "interop/test_parity.py::test_a_setting_that_is_read_wrongly_is_a_hundred_tolerances_away": [
        *("maxtext#1839", "levanter#649", "tunix's llama3"),
    ],
    "interop/test_hub_weights.py::test_memory_beyond_the_arrays_is_a_layer_and_little_more": ["maxtext#551"],
    "benchmarks/test_plans.py::test_a_plan_made_again_needs_no_more": ["EasyDeL#184", "EasyDeL#255"],
    "test_config.py::test_every_setting_is_read_by_something": ["open-instruct#1823"],
    "test_train.py::test_an_interrupted_run_goes_on_as_if_it_had_not_been": ["alpaca-lora#72", "FastChat#1280"],
    "test_train.py::test_full_fine_tuning_leaves_a_model_that_stops": ["trl#976", "unsloth#416"],
    "test_resume.py::test_twenty_five_kills_change_nothing": ["alpaca-lora#72", "FastChat#1280", "levanter#486"],
    "test_many_processes.py::test_two_processes_train_save_are_told_to_stop_and_resume_as_one_would": [
        *("levanter#486", "marin#5319"),
    ],
    "test_generate.py::test_the_key_stands_in_nothing_that_is_written_or_said": ["sdg_hub#517"],
    "generation/test_parsing.py::test_a_number_alone_in_the_last_line_is_text": ["self-instruct", "alpaca"],
    "generation/test_filters.py::test_reasons": ["self-instruct"],
    "api/test_journal.py::test_cut_anywhere_it_opens_and_only_loses_what_is_behind": ["alpaca"],
    "similarity/test_join.py::test_few_pairs_are_compared": ["alpaca"],
    "test_generate_faults.py::test_odd_answers_lose_nothing_beside_them": ["curator"],
    "api/test_client.py::test_every_fault_is_asked_again_and_nothing_is_lost_or_done_twice": ["curator"],
}


@cache
def _sources(file: str) -> dict[str, str]:
    """The text of each test of a file by its name, comments included."""
    text = (TESTS / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    tests = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in tests}


@pytest.mark.parametrize("test", HELD)
def test_the_test_is_there_and_names_the_reports(test):
    # Mutation: a test renamed or removed.
    file, name = test.split("::")
    assert name in _sources(file)
    assert [report for report in HELD[test] if report not in _sources(file)[name]] == []

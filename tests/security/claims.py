"""The sentences of SECURITY.md, each with the tests that would fail if it did not hold."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "SECURITY.md"
WITHOUT_TESTS = {
    "Security", "Threat model", "What is not promised", "How this is tested", "Reporting",
}  # fmt: skip
"""Headings of the chapters that promise nothing."""

SANDBOX, SERVER, TRAINING = "tests/sandbox/test_", "tests/server/test_", "tests/training/test_"
PROCESSES = "tests/runtime/processes/test_"


def sentences() -> list[str]:
    """The sentences of the chapters that promise something, in order."""
    found: list[str] = []
    for chapter in re.split(r"^#+ ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        heading, _, text = chapter.partition("\n")
        if heading not in WITHOUT_TESTS:
            for part in re.split(r"\n- |\n\n", text.replace("\n\n- ", "\n- ")):
                line = " ".join(part.split())
                found += [s for s in re.split(r"(?<=\.) (?=[A-Z`])", line) if s]
    return found


CLAIMS: dict[str, tuple[str, ...]] = {
    # Programs
    "A program is parsed and checked before anything of it is compiled.": (
        f"{SANDBOX}check.py::test_it_only_parses", f"{SANDBOX}layers.py::test_the_worker_checks_for_itself",
    ),
    "A program reads only attributes that are listed for the exact type of a value.": (
        f"{SANDBOX}guards.py::test_attributes_are_open_by_exact_type",
        f"{SANDBOX}guards.py::test_what_is_open_is_not_leaky",
    ),
    "Formatting reads no attributes of objects.": (f"{SANDBOX}guards.py::test_format_walks_into_nothing",),
    "A program imports nothing but a part of `math`.": (
        f"{SANDBOX}guards.py::test_imports_give_the_facade_alone",
        f"{SANDBOX}guards.py::test_builtins_that_are_not_there",
    ),
    "No handler and no `finally` of a program outlives a limit.": (
        f"{SANDBOX}guards.py::test_no_handler_outlives_a_limit",
        f"{SANDBOX}guards.py::test_no_finally_outlives_a_limit",
        f"{SANDBOX}limits.py::test_limit_cannot_be_swallowed",
    ),
    "No operation of a program makes a huge value.": (
        f"{SANDBOX}guards.py::test_nothing_huge_is_made", f"{SANDBOX}guards.py::test_factors_are_judged_first",
    ),
    "Every program has a new process, which ends with it.": (
        f"{SANDBOX}mechanisms.py::test_every_program_has_a_process_of_its_own",
    ),
    "A series uses a process again only for the same program and with a new namespace.": (
        f"{SANDBOX}series.py::test_another_program_has_another_process",
        f"{SANDBOX}series.py::test_each_run_begins_anew",
    ),
    "A worker has two pipes, and neither the environment nor the memory of the host.": (
        f"{SANDBOX}confine.py::test_only_the_pipes", f"{SANDBOX}mechanisms.py::test_what_the_worker_is_given",
        f"{SANDBOX}layers.py::test_the_worker_has_nothing_of_ours",
    ),
    "The worker finds no settings of the host, such as paths, in its memory.": (
        f"{SANDBOX}layers.py::test_a_program_that_got_out_finds_no_settings",
    ),
    "Objects of the host never enter the worker: a program holds handles, which mean nothing in another run.": (
        f"{SANDBOX}protocol.py::test_handles_between_the_two_sides",
        f"{SANDBOX}series.py::test_handles_of_one_run_are_unknown_in_the_next",
        f"{SANDBOX}sandbox.py::test_handles_end_with_the_run",
    ),
    "A message of the worker that is malformed, too large or too late ends the run with an outcome.": (
        f"{SANDBOX}hostile_worker.py::test_broken_frames", f"{SANDBOX}hostile_worker.py::test_odd_frames",
        f"{SANDBOX}execution.py::test_messages_that_end_the_run",
        f"{SANDBOX}fuzz_frames.py::test_the_parent_stands_what_a_worker_sends",
    ),
    "Reads and writes of the host have absolute deadlines.": (
        f"{SANDBOX}hostile_worker.py::test_deadlines_are_absolute",
        f"{SANDBOX}hostile_worker.py::test_sends_have_a_deadline",
    ),
    "Before it reads a program, every worker tries what it must be denied, and `level` names what is missing.": (
        f"{SANDBOX}layers.py::test_levels", f"{SANDBOX}mechanisms.py::test_an_unconfined_worker_knows_it",
        f"{SANDBOX}mechanisms.py::test_confined_without_seccomp",
    ),
    '`require="kernel"` runs nothing where a protection of the kernel is missing.': (
        f"{SANDBOX}layers.py::test_levels",
    ),
    "At level `kernel`, code that escaped from the language cannot open files, reach the network, start processes or "
    "touch the host.": (f"{SANDBOX}layers.py::test_kernel_denies", f"{SANDBOX}layers.py::test_kernel_kills"),
    "The filter of system calls denies every call that it does not list, on x86-64 and on arm64.": (
        f"{SANDBOX}confine.py::test_everything_else_is_denied", f"{SANDBOX}arm64.py::test_verdicts",
        f"{SANDBOX}arm64.py::test_the_tables_of_the_filter_have_the_numbers_of_arm64",
    ),
    "Nobody can make executable memory in a worker.": (f"{SANDBOX}confine.py::test_no_executable_memory",),
    "The kernel bounds the memory and the processor time of a worker.": (
        f"{SANDBOX}layers.py::test_kernel_bounds_memory_and_time", f"{SANDBOX}mechanisms.py::test_processor_time",
    ),
    "As root, a worker becomes the user `nobody` first.": (f"{SANDBOX}mechanisms.py::test_root_becomes_nobody",),
    "Landlock and the filter of system calls each hold alone.": (
        f"{SANDBOX}mechanisms.py::test_landlock_alone", f"{SANDBOX}mechanisms.py::test_seccomp_alone_denies",
        f"{SANDBOX}mechanisms.py::test_seccomp_alone_kills",
    ),
    "Each layer holds against the corpus of hostile programs with the other one switched off.": (
        f"{SANDBOX}corpus.py::test_hostile", f"{SANDBOX}layers.py::test_language_alone",
    ),
    "A program that reaches a limit is ended at most a second after it.": (
        f"{SANDBOX}limits.py::test_limit", f"{SANDBOX}limits.py::test_whole_run",
        "tests/security/test_when.py::test_a_program_ends_with_its_time",
        "tests/security/test_when.py::test_each_image_of_a_map_ends_with_its_time",
    ),
    "The answer of a chat model that takes turns is the value of a program that was checked and ran in the sandbox.": (
        "tests/planner/test_turns.py::test_the_answer_is_never_what_the_model_says",
    ),
    "All turns for a question share one budget of calls, time and pixels.": (
        "tests/planner/test_turns.py::test_budgets_end_it_without_a_guess",
        "tests/planner/test_turns.py::test_seconds_are_of_all_turns_together",
    ),
    "Text that a tool read in an image cannot end the mark that shows it to a chat model as data.": (
        "tests/planner/test_turns.py::test_text_from_an_image_stays_quoted",
    ),
    "A run leaves no process, descriptor or file behind.": (
        f"{SANDBOX}soak.py::test_a_short_soak", f"{SANDBOX}always_an_answer.py::test_no_descriptors_are_left",
        f"{SANDBOX}always_an_answer.py::test_no_file_is_ever_made",
        f"{SANDBOX}hostile_worker.py::test_nothing_is_left",
    ),
    "No worker outlives its host, however that ends.": (
        f"{SANDBOX}always_an_answer.py::test_no_worker_outlives_a_killed_parent",
        f"{SANDBOX}sandbox.py::test_workers_end_with_their_parent",
    ),
    # Tools
    "A run ends when its time is up, whatever its tools do.": (
        f"{PROCESSES}processes.py::test_a_tool_that_hangs_ends_with_its_run",
        "tests/runtime/test_batcher.py::test_a_run_ends_in_time_whatever_its_tool_does",
        "tests/runtime/test_batcher.py::test_a_program_ends_in_time_whatever_its_tool_does",
    ),
    "A tool that hangs, crashes or takes too much memory is ended in its process, and the calls of others are made "
    "again.": (
        f"{PROCESSES}processes.py::test_a_tool_that_crashes_is_an_error",
        f"{PROCESSES}processes.py::test_a_tool_that_takes_too_much_memory_is_ended",
        f"{PROCESSES}processes.py::test_others_lose_nothing_when_a_call_hangs_or_crashes",
        f"{PROCESSES}processes.py::test_an_image_that_crashes_or_hangs_a_tool_is_one_error_of_many",
    ),
    "A process of this package's tools starts no programs, has no network once its model is loaded, and changes no "
    "files but its own, on Linux.": (
        f"{PROCESSES}confinement.py::test_a_confined_process_reads_and_computes_and_nothing_else",
        f"{PROCESSES}confinement.py::test_the_network_is_open_until_a_model_is_loaded",
        f"{PROCESSES}confinement.py::test_tools_of_this_package_are_confined_and_others_are_not",
    ),
    "Tools that another process cannot import work in the process of the host, and say so.": (
        f"{PROCESSES}processes.py::test_what_cannot_be_imported_stays_here",
        f"{PROCESSES}processes.py::test_what_only_this_process_can_import_stays_here",
    ),
    "The bytes that a tool process sends are checked before anything is made of them.": (
        f"{PROCESSES}transfer.py::test_forms_that_are_wrong_end_the_process",
        f"{PROCESSES}transfer.py::test_images_that_are_wrong_end_the_process",
        f"{PROCESSES}transfer.py::test_bytes_that_are_no_message_end_the_process",
        f"{PROCESSES}transfer.py::test_a_process_cannot_send_images_without_end",
    ),
    "The arguments of a call and the new pixels of a run are bounded.": (
        "tests/runtime/test_size_limits.py::test_arguments_that_are_too_large_never_reach_the_tool",
        "tests/runtime/test_size_limits.py::test_new_images_have_a_budget",
    ),
    # Images
    "Pillow is asked for PNG, JPEG, GIF, BMP, PPM, WebP, TIFF and AVIF only, whatever a file is called.": (
        "tests/values/test_decode.py::test_other_formats_are_named_and_never_decoded",
        "tests/values/test_decode.py::test_the_usual_formats_are_read",
    ),
    "Nothing else finds out what the bytes of an image are, and no decoder starts a process.": (
        "tests/values/test_decode.py::test_nothing_else_finds_out_what_bytes_are",
        "tests/values/test_decode.py::test_other_formats_are_named_and_never_decoded",
    ),
    "Image files are decoded in a process that opens no file and no connection.": (
        "tests/runtime/processes/test_decoder.py::test_a_decoder_can_read_no_files",
        "tests/runtime/processes/test_decoder.py::test_agents_decode_there",
    ),
    "A file that crashes this process twice is an error, and where no such process starts, no file is decoded.": (
        "tests/runtime/processes/test_decoder.py::test_a_file_that_crashes_the_decoder_is_an_error",
        "tests/runtime/processes/test_decoder.py::test_what_cannot_start_decodes_nothing_here",
    ),
    "Pixels are counted from the header: more than `max_pixels`, 100 million by default, are refused before they are "
    "decoded.": (
        "tests/values/test_image.py::test_a_decompression_bomb_is_refused",
        "tests/values/test_decode.py::test_the_limit_of_pixels_can_be_raised",
    ),
    "Files of more than 256 MiB are refused.": ("tests/values/test_image.py::test_large_files_are_refused",),
    "Pipes, devices and sockets are refused before anything is read.": (
        "tests/files/test_files.py::test_only_regular_files_are_read",
        "tests/files/test_files.py::test_a_file_that_becomes_a_pipe_is_not_waited_for",
    ),
    "Addresses are opened only with `allow_url`.": (
        "tests/values/test_image.py::test_addresses_are_refused_unless_allowed",
    ),
    "Damaged metadata neither stop an image nor rotate it.": (
        "tests/values/test_decode.py::test_damaged_metadata_of_a_jpeg_leave_its_pixels",
        "tests/values/test_decode.py::test_damaged_or_large_metadata_of_a_png_leave_its_pixels",
        "tests/values/test_decode.py::test_exif_that_cannot_be_read_in_every_format",
    ),
    "Whatever bytes a file holds, it is an image or an `ImageError`.": (
        "tests/values/test_image.py::test_any_bytes_are_read_or_refused",
        "tests/values/test_decode.py::test_whatever_a_library_raises_is_an_image_error",
        "tests/fuzz/test_fuzz.py::test_damaged_files_are_read_or_refused",
    ),
    # Videos
    "Video files are decoded in a process that is handed the file open and can open no other.": (
        "tests/runtime/processes/test_video_decoder.py::test_the_process_is_confined",
    ),
    "Formats of video that name other files are not read.": (
        "tests/values/test_video.py::test_what_is_no_video_and_what_names_other_files",
    ),
    "A camera is opened by the user's command or call alone, never by the text of a program, of a server's client or "
    "of a setting.": ("tests/test_camera.py::test_no_text_opens_a_camera",),
    "A camera is read by a process that opens its device itself, since FFmpeg takes no open one, and can open nothing "
    "else.": (
        "tests/test_camera.py::test_a_device_that_is_no_camera_is_opened_in_the_confined_process",
        "tests/test_camera.py::test_the_process_opens_its_device_alone",
    ),
    "A camera that delivers nothing is given up after its time and 15 seconds, with its process.": (
        "tests/test_camera.py::test_a_camera_that_delivers_no_more_is_given_up",
    ),
    # Configuration
    "Without trust, no file of the working folder lets images be sent to a chat model.": (
        "tests/planner/test_turns.py::test_a_found_file_of_settings_sends_no_images",
    ),
    "A `visprog.toml` that was found in the working folder sets plain data only: no code, models, files or "
    "addresses.": (
        "tests/test_config.py::test_a_found_file_sets_plain_data",
        "tests/test_config.py::test_what_a_found_file_must_not_set_until_it_is_trusted",
    ),
    "A file that the user names sets everything.": (
        "tests/test_config.py::test_the_users_own_file_and_named_ones_set_everything",
    ),
    "`visprog trust` trusts the content of a file: when that changes, it counts as found again.": (
        "tests/test_config.py::test_a_file_that_is_trusted_no_more",
    ),
    "No command runs the code of a working folder that was not named.": (
        "tests/test_config.py::test_no_command_runs_the_code_of_a_folder",
    ),
    # Server
    "On an address that others can reach, the server starts only with a token; without it, it answers `/health` "
    "and the page.": (
        f"{SERVER}guard.py::test_a_server_that_others_reach_needs_a_token",
        f"{SERVER}guard.py::test_a_token_is_asked_for",
        f"{SERVER}process.py::test_a_token_opens_a_server_that_others_reach",
    ),
    "On loopback, a request whose Host header names another machine is refused.": (
        f"{SERVER}guard.py::test_foreign_names_are_refused_on_loopback",
        f"{SERVER}process.py::test_a_foreign_name_is_refused",
    ),
    "Requests of web pages of other origins are refused.": (
        f"{SERVER}guard.py::test_pages_of_other_origins_are_refused",
        f"{SERVER}connections.py::test_an_odd_origin_is_refused",
        f"{SERVER}page.py::test_pages_and_names_of_others_do_not_get_it",
        f"{SERVER}page.py::test_pages_and_names_of_others_get_no_stream",
    ),
    "The page loads nothing from elsewhere and runs no script but its own.": (
        f"{SERVER}page.py::test_the_policy_allows_this_script_and_this_style_and_no_other",
        f"{SERVER}page.py::test_it_loads_nothing_and_holds_no_other_script",
    ),
    "Text of questions, images and models is text in the page, and evidence is shown in a frame that runs no "
    "scripts.": (
        f"{SERVER}page.py::test_text_of_questions_and_images_is_text_in_the_evidence",
        f"{SERVER}page.py::test_no_text_runs_in_the_page",
    ),
    "No text of a client is taken for a path or an address, and the name of a file is a name only.": (
        f"{SERVER}app.py::test_no_text_is_taken_for_a_path", f"{SERVER}app.py::test_a_file_name_is_a_name_only",
    ),
    "A connection whose headers are not complete after 10 seconds is ended, however slowly they arrive.": (
        f"{SERVER}connections.py::test_headers_have_a_deadline",
        f"{SERVER}connections.py::test_a_trickle_of_headers_does_not_move_the_deadline",
        f"{SERVER}connections.py::test_a_second_request_has_the_deadline_too",
    ),
    "A body that arrives more slowly than 64 KiB a second, after 10 seconds, is refused.": (
        f"{SERVER}connections.py::test_a_body_has_a_least_rate",
        f"{SERVER}connections.py::test_a_body_that_is_long_but_fast_is_read",
        f"{SERVER}connections.py::test_the_rest_of_a_refused_request_has_a_deadline",
    ),
    "An answer that is read more slowly than that ends with its connection.": (
        f"{SERVER}connections.py::test_an_answer_that_nobody_reads_ends_with_its_connection",
        f"{SERVER}streams.py::test_a_stream_that_nobody_reads_ends_with_its_connection",
    ),
    "Of the steps of a stream, 256 wait for its reader; further ones are left out.": (
        f"{SERVER}streams.py::test_steps_that_are_not_read_are_left_out_but_the_answer_is_not",
    ),
    "A body that is too large is refused before it is read.": (
        f"{SERVER}connections.py::test_a_giant_body_is_refused_before_it_is_read",
    ),
    "A request takes a place in the queue when its body was read, not before.": (
        f"{SERVER}connections.py::test_slow_bodies_take_no_place_in_the_queue",
    ),
    "The bytes of all requests and the number of connections are bounded, for all clients and for each.": (
        f"{SERVER}connections.py::test_bytes_in_flight_are_bounded_for_all_and_for_each",
        f"{SERVER}connections.py::test_connections_are_bounded_for_all_and_for_each",
    ),
    "Videos are files without a name, bounded for all clients and for each, and gone with their request or "
    "conversation.": (
        f"{SERVER}videos.py::test_bytes_on_the_disk_are_bounded_for_all_and_for_each",
        f"{SERVER}videos.py::test_an_upload_that_is_not_finished_leaves_nothing",
        f"{SERVER}videos.py::test_a_client_that_goes_away_leaves_nothing",
        f"{SERVER}videos.py::test_a_server_that_is_killed_leaves_nothing",
        f"{SERVER}videos.py::test_a_video_that_was_removed_is_gone_for_all_who_have_it_open",
        f"{SERVER}chats.py::test_a_conversation_about_a_video",
    ),
    "Videos of clients are decoded in confined processes.": (
        f"{SERVER}videos.py::test_videos_are_decoded_in_confined_processes",
        f"{PROCESSES}video_decoder.py::test_the_process_is_confined",
    ),
    "A conversation is found by its client alone, by a name that cannot be guessed, and ends when it is not used.": (
        f"{SERVER}chats.py::test_a_conversation_is_found_by_its_client_alone",
        f"{SERVER}chats.py::test_one_that_is_not_used_ends",
    ),
    "The number of conversations and what they hold are bounded, for all clients and for each.": (
        f"{SERVER}chats.py::test_their_number_is_bounded_for_all_and_for_each",
        f"{SERVER}chats.py::test_what_they_hold_is_bounded",
        f"{SERVER}chats.py::test_what_is_found_counts_too",
    ),
    "One client gets at most its share of the queue, and a free worker goes to the client that has the fewest.": (
        f"{SERVER}queue.py::test_one_client_gets_its_share_of_the_places_and_no_more",
        f"{SERVER}queue.py::test_a_free_thread_goes_to_the_client_that_has_the_fewest",
        f"{SERVER}connections.py::test_a_client_with_hanging_tools_leaves_room_for_others",
    ),
    "Behind a proxy that the user names, and only there, the client is the one that the proxy names.": (
        f"{SERVER}connections.py::test_behind_a_proxy_the_client_is_the_one_that_it_names",
    ),
    "The pixels of all images and masks of a request are counted before any is decoded.": (
        f"{SERVER}app.py::test_what_is_too_large_is_refused",
        f"{SERVER}app.py::test_masks_count_as_the_pixels_that_they_unpack_to",
    ),
    "Whatever bytes a request holds, it gets an answer or a problem in JSON.": (
        f"{SERVER}connections.py::test_what_is_not_http_gets_a_problem",
        "tests/fuzz/test_fuzz.py::test_damaged_requests_get_an_answer",
    ),
    "A request is answered within `--timeout`.": (
        f"{SERVER}app.py::test_a_request_has_a_time_limit",
        "tests/security/test_when.py::test_a_request_is_answered_in_time",
        f"{SERVER}streams.py::test_a_stream_ends_with_the_time_limit",
    ),
    "A client that goes away ends its work and gives back its worker, except for a tool in the process of the "
    "server.": (
        f"{SERVER}streams.py::test_a_client_that_goes_away_ends_its_work",
        f"{SERVER}streams.py::test_one_that_waits_and_goes_away_gives_its_place_back",
        f"{SERVER}streams.py::test_a_tool_that_cannot_be_ended_keeps_its_worker",
    ),
    "`/health` says ready only while a program of one line runs, the queue has a place, and not all workers are past "
    "their time.": (
        f"{SERVER}connections.py::test_readiness_is_false_while_the_sandbox_does_not_work",
        f"{SERVER}connections.py::test_readiness_is_false_while_the_queue_is_full",
        f"{SERVER}connections.py::test_readiness_is_false_while_all_threads_hang_and_true_again_after",
    ),
    "The message of an unexpected error stays in the server's log.": (
        f"{SERVER}app.py::test_a_bug_reveals_nothing_internal",
    ),
    "SIGTERM finishes what runs and refuses the rest.": (
        f"{SERVER}process.py::test_sigterm_finishes_what_runs_and_refuses_the_rest",
    ),
    # Caches
    "A result for one image never answers for another one, and names of files do not cross the cache.": (
        "tests/runtime/test_host.py::test_a_crop_is_not_its_equal_elsewhere",
        "tests/registry/test_own_tools.py::test_file_names_do_not_cross_the_cache",
    ),
    "Failures are not kept.": ("tests/runtime/test_host.py::test_failures_are_not_cached",),
    "The cache of results is bounded in bytes.": ("tests/runtime/test_host.py::test_cache_forgets_the_oldest",),
    # Data files
    "A member of an archive that is too large, or unpacks to more than 200 times its size, is refused before it is "
    "unpacked.": (
        "tests/files/test_plain_text.py::test_a_member_that_unpacks_to_very_much_is_not_unpacked",
        "tests/evaluation/test_loaders_outside.py::test_bombs_are_not_unpacked",
    ),
    "Pipes, devices and files without end are read neither as data nor as results.": (
        "tests/files/test_plain_text.py::test_a_pipe_is_neither_text_nor_an_archive",
        "tests/evaluation/test_loaders_outside.py::test_a_pipe_is_no_data",
        "tests/mapping/test_results.py::test_journals_neither_wait_nor_read_without_end",
        "tests/runtime/test_recording.py::test_a_pipe_in_a_recording_is_not_waited_for",
    ),
    "JSON that is nested too deeply is an error of its file.": (
        "tests/files/test_plain_text.py::test_json_that_cannot_be_read",
        "tests/evaluation/test_loaders_outside.py::test_json_that_cannot_be_read",
    ),
    "Of a recording, only digests become parts of paths, and an image or mask that was changed is noticed.": (
        "tests/runtime/test_recording.py::test_only_a_digest_becomes_part_of_a_path",
        "tests/runtime/test_recording.py::test_a_changed_image_is_noticed",
        "tests/runtime/test_recording.py::test_a_changed_mask_is_noticed",
    ),
    "A file of results is resumed only if it belongs to the question, and what is no such file stays as it is.": (
        "tests/mapping/test_map.py::test_results_of_something_else_are_left_alone",
        "tests/mapping/test_results.py::test_a_file_of_something_else_stays_as_it_is",
    ),
    "Answers that are images never overwrite the images that they come from.": (
        "tests/mapping/test_saved_images.py::test_a_folder_above_the_images_is_taken_but_not_their_own",
        "tests/mapping/test_saved_images.py::test_what_is_there_is_kept",
        "tests/cli/test_cli.py::test_no_output_overwrites_an_input_or_another_output",
    ),
    "Formulas in a CSV file are text.": ("tests/mapping/test_results.py::test_formulas_are_text_in_csv",),
    "Text of images and models cannot move the cursor of a terminal, and is text in every HTML page.": (
        "tests/cli/test_cli.py::test_what_is_shown_cannot_move_the_cursor",
        "tests/report/test_html.py::test_everything_is_escaped",
        "tests/evaluation/test_report.py::test_nothing_in_the_report_is_taken_for_html",
    ),
    # Checkpoints
    "Weights are read from safetensors, and of a pickled file only tensors, never objects.": (
        "tests/tools/backends/test_checkpoint.py::test_pickled_weights_are_refused",
        "tests/models/test_segment_anything.py::test_other_files_are_refused_and_no_object_is_unpickled",
        "tests/parity/test_dalle.py::test_pickled_modules_are_refused",
    ),
    "Code in a checkpoint is not run.": (
        "tests/tools/backends/test_checkpoint.py::test_code_in_a_checkpoint_is_not_run",
    ),
    "Files that are cut or do not fit together are named in one sentence.": (
        "tests/parity/test_checkpoint.py::test_files_that_are_cut_are_named",
        "tests/parity/test_checkpoint.py::test_indexes_that_do_not_fit_their_files",
    ),
    # Training
    "Code that a recipe names is run only with `--allow-code`.": (
        f"{TRAINING}trainer_cli.py::test_code_that_a_recipe_names_is_run_only_if_it_is_allowed",
    ),
    "A state of a run whose digest does not fit, or that is forged, is skipped for the one before.": (
        f"{TRAINING}resume.py::test_a_broken_checkpoint_is_skipped_for_the_one_before",
        f"{TRAINING}checkpoint_files.py::test_a_state_that_cannot_be_read_is_skipped_though_its_digest_fits",
        f"{TRAINING}checkpoint_files.py::test_a_broken_digest_is_skipped",
    ),
    "A bomb, a pipe or a truncated shard is a bad sample or a named end, and the pass goes on.": (
        f"{TRAINING}data_files.py::test_a_bomb_in_an_archive_is_a_bad_sample",
        f"{TRAINING}data_files.py::test_pipes_and_devices_are_no_files",
        f"{TRAINING}data_files.py::test_a_pass_goes_on_after_a_truncated_shard",
    ),
    # Ray
    'Nothing runs on a cluster unless `--ray` or `on="ray"` asks for it.': (
        "tests/security/test_ray.py::test_ray_is_imported_only_where_it_is_asked_for",
    ),
    "What other machines cannot have is refused before the first image.": (
        "tests/mapping/test_ray_map.py::test_what_other_machines_cannot_have_is_refused",
    ),
    "An error of a replica is an error of its call here.": (
        f"{SERVER}ray.py::test_what_fails_on_a_replica_fails_here",
    ),
}  # fmt: skip

//! The help of a refusal: what is to be done, and how each channel says it. The command line names
//! an option, the console a command, the link a part of the request. The help in a record is read
//! on all of them. No channel is told to do what it has no way to do.

use serde::{Deserialize, Serialize};

/// What can be done about a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Help {
    /// Something with the image or the device: the same words everywhere.
    Plain(String),
    /// Say which exam it is for; these may be chosen.
    ChooseExam(Vec<String>),
    /// Choose another exam or image.
    OtherExam,
    /// Give one whole film.
    OneWholeFilm,
    /// Have a person read it.
    AskAPerson,
    /// Say how old the patient is.
    SayAge,
    /// Say the patient's sex.
    SaySex,
    /// Say which picture of the file, which holds so many.
    ChooseFrame(u32),
    /// Give the prompt a place within the image.
    MovePrompt,
    /// Make no picture of what may tell whose it is.
    ShowNoPicture,
    /// Run the self-test.
    SelfTest,
    /// Have this case's image answered again.
    RunAgain(u64),
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// `medfocus classify`, and whoever reads its JSON.
    CommandLine,
    /// A device's serial console.
    Console,
    /// A host at the other end of a link.
    Link,
    /// A device's record: every one of its channels shows it.
    Record,
}

impl Help {
    /// What it says on a channel.
    pub fn words(&self, channel: Channel) -> String {
        match self {
            Self::Plain(words) => words.clone(),
            Self::ChooseExam(exams) => choose_exam(&exams.join(", "), channel),
            Self::OtherExam => match channel {
                Channel::CommandLine => {
                    "choose another exam or image, or answer all the same with --force"
                }
                Channel::Console => "choose another exam with EXAM, or give another image",
                Channel::Link | Channel::Record => "choose another exam, or give another image",
            }
            .to_owned(),
            Self::OneWholeFilm => match channel {
                Channel::CommandLine => {
                    "export one whole film as an image of its own, or answer all the same with \
                     --force"
                }
                _ => "export one whole film as an image of its own",
            }
            .to_owned(),
            Self::AskAPerson => match channel {
                Channel::CommandLine => {
                    "have a person read it, or answer all the same with --force"
                }
                _ => "have a person read it",
            }
            .to_owned(),
            Self::SayAge => say_of_patient(["--age YEARS", "CASE:AGE", "age"], channel),
            Self::SaySex => say_of_patient(["--sex M, F or O", "CASE:SEX", "sex"], channel),
            Self::ChooseFrame(count) => choose_frame(*count, channel),
            Self::MovePrompt => match channel {
                Channel::CommandLine => "give --prompt in the image's own pixels",
                Channel::Console => "give CASE:ROI in the image's own pixels, as X,Y,WIDTH,HEIGHT",
                Channel::Link | Channel::Record => {
                    "give the region in the image's own pixels, as x, y, width, height"
                }
            }
            .to_owned(),
            Self::ShowNoPicture => {
                let words = "have the unit send its ultrasound region, or no annotation and \
                             Burned In Annotation (0028,0301) = NO, or ask for no picture";
                match channel {
                    Channel::CommandLine => format!(
                        "look at the picture; where it holds no name, say so with \
                         --nothing-burned-in; or {words}"
                    ),
                    _ => words.to_owned(),
                }
            }
            Self::RunAgain(case) => match channel {
                Channel::Console => format!("run it again with CASE:RERun {case}"),
                Channel::Link | Channel::CommandLine => "send the image again".to_owned(),
                Channel::Record => format!("send the image again, or have case {case} run again"),
            },
            Self::SelfTest => {
                let how = match channel {
                    Channel::Console => " (*TST?)",
                    _ => "",
                };
                format!("run the self-test{how}; if it passes, keep the image and report this")
            }
        }
    }
}

fn choose_exam(exams: &str, channel: Channel) -> String {
    match channel {
        Channel::CommandLine => format!("name one with --exam: {exams}, or all"),
        Channel::Console => format!("choose one with EXAM, then run it again: {exams}"),
        Channel::Link => format!("send it again with its exam: {exams}"),
        Channel::Record => format!(
            "say which with exam, in the request or in the configuration of its folder or port: \
             {exams}"
        ),
    }
}

fn say_of_patient([option, command, what]: [&str; 3], channel: Channel) -> String {
    match channel {
        Channel::CommandLine => format!("say it with {option}"),
        Channel::Console => format!("say it with {command}, then run it again"),
        Channel::Link => format!("send it again with the patient's {what}"),
        Channel::Record => format!("give the patient's {what} with the image or in the request"),
    }
}

/// Only a command line can say which.
fn choose_frame(count: u32, channel: Channel) -> String {
    match (channel, count) {
        (Channel::CommandLine, 0 | 1) => {
            "leave --frame away: the file holds a single picture".to_owned()
        }
        (Channel::CommandLine, _) => {
            format!("name one from 1 to {count} with --frame, or middle, or all")
        }
        _ => "save the picture that is meant as a file of its own, and give that: \
              `magick 'FILE[0]' out.png` saves the first"
            .to_owned(),
    }
}

impl From<String> for Help {
    fn from(words: String) -> Self {
        Self::Plain(words)
    }
}

impl From<&str> for Help {
    fn from(words: &str) -> Self {
        Self::Plain(words.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of help, once.
    fn all() -> [Help; 11] {
        [
            Help::from("do something"),
            Help::ChooseExam(vec!["brain4".to_owned(), "covid3".to_owned()]),
            Help::OtherExam,
            Help::AskAPerson,
            Help::SayAge,
            Help::SaySex,
            Help::ChooseFrame(3),
            Help::MovePrompt,
            Help::ShowNoPicture,
            Help::SelfTest,
            Help::RunAgain(7),
        ]
    }

    #[test]
    fn no_device_is_told_an_option() {
        for help in all() {
            for channel in [Channel::Console, Channel::Link, Channel::Record] {
                let words = help.words(channel);
                assert!(!words.contains("--"), "{channel:?}: {words}");
                assert!(!words.is_empty());
            }
        }
    }

    #[test]
    fn what_can_be_chosen_is_named_on_every_channel() {
        for (channel, says) in [
            (Channel::CommandLine, "--exam"),
            (Channel::Console, "EXAM"),
            (Channel::Link, "with its exam"),
            (Channel::Record, "configuration"),
        ] {
            let words = all()[1].words(channel);
            assert!(words.contains(says), "{words}");
            assert!(words.contains("brain4, covid3"), "{words}");
        }
    }

    #[test]
    fn help_survives_a_record() {
        for help in all() {
            let json = serde_json::to_string(&help).unwrap();
            assert_eq!(serde_json::from_str::<Help>(&json).unwrap(), help, "{json}");
        }
    }
}
